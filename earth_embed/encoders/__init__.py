"""The encoders as Flax modules: locations, modalities, spherical harmonics.

Pure functions of parameters and inputs, each beside its settings. Nothing here knows of an
experiment, a loss or a device.
"""
