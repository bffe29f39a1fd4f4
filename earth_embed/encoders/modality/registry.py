"""Modality encoders by name; a user's own Linen module joins with one decorator.

    @register("my_tower")
    class MyTower(nn.Module):
        features: int           # dimension D of the output
        width: int
        depth: int
        dtype: Any              # type of the matrix products

        @nn.compact
        def __call__(self, sample):        # (B, ...) float32, or uint8 for text
            ...                            # (B, D)

Import the module from the experiment file, then write `Modality(encoder="my_tower", ...)`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn

from earth_embed.config import Modality
from earth_embed.errors import ConfigError

_FIELDS = ("features", "width", "depth", "dtype")
_registry: dict[str, type[nn.Module]] = {}


def register(name: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Registers a Linen module with the fields features, width, depth and dtype.

    Raises:
        ConfigError: the name is taken by another class, or a field is missing.
    """

    def add(module: type[nn.Module]) -> type[nn.Module]:
        taken = _registry.get(name)
        if taken is not None and taken.__qualname__ != module.__qualname__:
            raise ConfigError(f"modality encoder {name!r} is {taken.__qualname__} already")
        missing = set(_FIELDS) - {field.name for field in dataclasses.fields(module)}
        if missing:
            raise ConfigError(
                f"modality encoder {name!r} needs the fields {_FIELDS}, lacks {sorted(missing)}"
            )
        _registry[name] = module
        return module

    return add


def build(modality: Modality, features: int, dtype: Any) -> nn.Module:
    """The modality's encoder as a Linen module with outputs of dimension `features`.

    Raises:
        ConfigError: no encoder of that name.
    """
    if modality.encoder not in _registry:
        raise ConfigError(
            f"modalities[{modality.name!r}].encoder = {modality.encoder!r}: "
            f"expected one of {sorted(_registry)}"
        )
    module: Any = _registry[modality.encoder]
    return module(features=features, width=modality.width, depth=modality.depth, dtype=dtype)
