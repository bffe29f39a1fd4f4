"""One training step on a mesh: the towers, the state and its one update, the devices.

Which examples a step reads and which loss it takes are the business of `methods/`.
"""
