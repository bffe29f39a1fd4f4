"""earth_embed: functions from (longitude, latitude) to what a place is like.

import earth_embed
encoder = earth_embed.load("runs/quickstart")
vectors = encoder(lon=[8.54, -70.67], lat=[47.37, -33.45])     # (2, D) float32
"""

from earth_embed.pretrained import LocationEncoder, load

__version__ = "0.1.0"

__all__ = ["LocationEncoder", "__version__", "load"]
