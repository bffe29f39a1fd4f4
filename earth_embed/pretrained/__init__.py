"""Location encoders that are trained already: a run's own, and those that others published.

`LocationEncoder` is what users call. Importers turn foreign weights into runs. Nothing here trains.
"""

from earth_embed.pretrained.encoder import LocationEncoder, load

__all__ = ["LocationEncoder", "load"]
