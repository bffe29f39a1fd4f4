"""earth_embed: functions from (longitude, latitude) to what a place is like.

import earth_embed
encoder = earth_embed.load("runs/quickstart")
vectors = encoder(lon=[8.54, -70.67], lat=[47.37, -33.45])     # (2, D) float32
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earth_embed.pretrained import LocationEncoder, load

__version__ = "0.1.0"

__all__ = ["LocationEncoder", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Imports JAX when an encoder is first asked for, so that commands can speak before that."""
    if name in __all__:
        from earth_embed import pretrained

        return getattr(pretrained, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
