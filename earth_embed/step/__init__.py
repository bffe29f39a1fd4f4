"""One training step: the towers, the state and its update, and the mesh of devices.

Which examples a step reads and which loss it minimises is decided in `methods`.
"""
