"""Encoders of images and texts that others trained, for inference only."""

from earth_embed.encoders.frozen.published import PUBLISHED, FrozenEncoder

__all__ = ["PUBLISHED", "FrozenEncoder"]
