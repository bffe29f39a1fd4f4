"""Location and modality encoders as Flax modules, each beside its settings.

Pure functions of parameters and inputs: nothing here knows of an experiment, a loss or a device.
"""
