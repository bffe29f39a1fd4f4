"""Reads training data: sources, the order of examples, and batches on the host.

Beside `datasets/`, only this folder imports TensorFlow, and only when it is used. Nothing here
makes a data set or touches a device.
"""
