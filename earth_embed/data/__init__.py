"""Training data, read: sources, the order of examples, and batches on the host.

The only folder beside `datasets/` that imports TensorFlow, and only when it is used. Nothing here
makes a data set or touches a device.
"""
