"""Modality encoders by name; a user's own Linen module joins with one decorator.

    @register("my_tower")
    class MyTower(Tower):
        @nn.compact
        def __call__(self, sample):        # (B, ...) float32
            ...                            # (B, self.features)

Import the module from the experiment file, then write `Modality(encoder="my_tower", ...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.config import Modality
from earth_embed.errors import ConfigError


class Tower(nn.Module):
    """What every modality encoder is: a map from samples (B, ...) to (B, features).

    Attributes:
        features: Dimension D of the output.
        width: Width of the hidden layers.
        depth: Depth, as the encoder has it.
        dtype: Type of the matrix products; parameters are float32.
        standardised: Whether samples arrive as float32 (x − mean) / std, or as they are stored.
    """

    standardised: ClassVar[bool] = True

    features: int
    width: int = 64
    depth: int = 2
    dtype: Any = jnp.float32

    def meet(self, anchors: jax.Array, locations: jax.Array) -> jax.Array:
        """What encoded samples (B, n) are compared with: location embeddings (B, D), as they are.

        A tower that maps them to a space of its own (B, n) overrides this; see `target.py`.
        """
        return locations

    def both(self, sample: jax.Array, locations: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Encoded samples, and what they are compared with."""
        anchors = self(sample)
        return anchors, self.meet(anchors, locations)


T = TypeVar("T", bound=type[Tower])
_registry: dict[str, type[Tower]] = {}


def register(name: str) -> Callable[[T], T]:
    """Registers a subclass of Tower.

    Raises:
        ConfigError: the name is taken by another class, or this is no Tower.
    """

    def add(module: T) -> T:
        taken = _registry.get(name)
        if taken is not None and taken.__qualname__ != module.__qualname__:
            raise ConfigError(f"modality encoder {name!r} is {taken.__qualname__} already")
        if not issubclass(module, Tower):
            raise ConfigError(
                f"modality encoder {name!r}: expected a subclass of Tower, found {module.__name__}"
            )
        _registry[name] = module
        return module

    return add


def build(modality: Modality, features: int, dtype: Any) -> Tower:
    """The modality's encoder, with outputs of dimension `features`.

    Raises:
        ConfigError: no encoder of that name.
    """
    if modality.encoder not in _registry:
        raise ConfigError(
            f"modalities[{modality.name!r}].encoder = {modality.encoder!r}: "
            f"expected one of {sorted(_registry)}"
        )
    module = _registry[modality.encoder]
    return module(features=features, width=modality.width, depth=modality.depth, dtype=dtype)
