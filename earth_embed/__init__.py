"""earth_embed: functions from (longitude, latitude) to what a place is like.

import earth_embed
encoder = earth_embed.load("runs/quickstart")
vectors = encoder(lon=[8.54, -70.67], lat=[47.37, -33.45])     # (2, D) float32
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earth_embed.pretrained import LocationEncoder, load

__version__ = "0.1.0"

__all__ = ["LocationEncoder", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and JAX with it: a command speaks before that."""
    if name in __all__:
        return getattr(importlib.import_module("earth_embed.pretrained"), name)
    module = f"{__name__}.{name}"
    try:
        return importlib.import_module(module)  # such as earth_embed.errors
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    """Completion in a notebook offers what is not imported yet."""
    return sorted({*globals(), *__all__})
