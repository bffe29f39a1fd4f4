"""Trained location encoders: a run's own, and published ones. Nothing here trains.

`LocationEncoder` is what users call. `imports` turns published weights into runs.
"""

from earth_embed.pretrained.encoder import LocationEncoder, load

__all__ = ["LocationEncoder", "load"]
