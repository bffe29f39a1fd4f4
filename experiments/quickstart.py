"""MELT on three unpaired modalities of real, global data, in minutes on two cores.

earth-embed train experiments/quickstart.py    # the same as: earth-embed train quickstart
"""

from earth_embed.config.quickstart import experiment

__all__ = ["experiment"]
