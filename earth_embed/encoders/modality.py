"""Modality encoders by name; a user's own Linen module joins with one decorator.

    @register("my_tower")
    class MyTower(Tower):
        @nn.compact
        def __call__(self, sample):        # (B, ...) float32
            ...                            # (B, self.features)

Import the module from the experiment file, then write `Modality(encoder="my_tower", ...)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

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

    def candidates(self, anchors: jax.Array, locations: jax.Array) -> jax.Array:
        """What encoded samples (B, n) are compared with: the location embeddings (B, D) themselves.

        A tower that maps them to a space of its own (B, n) overrides this, as `TargetTower` does.
        """
        return locations

    def encode_pair(self, sample: jax.Array, locations: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Encoded samples and what they are compared with; initialisation runs this."""
        anchors = self(sample)
        return anchors, self.candidates(anchors, locations)


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


def build_tower(name: str, encoder: str, **attributes: Any) -> Tower:
    """The encoder of a modality.

    Args:
        name: The modality, for messages.
        encoder: What its encoder was registered as.
        **attributes: Those of `Tower`.

    Raises:
        ConfigError: no encoder of that name.
    """
    if encoder not in _registry:
        raise ConfigError(
            f"modalities[{name!r}].encoder = {encoder!r}: expected one of {sorted(_registry)}"
        )
    return _registry[encoder](**attributes)


def windows(x: jax.Array, size: int, edge: Literal["zero", "wrap"]) -> jax.Array:
    """Each step of a sequence beside its neighbours.

    Args:
        x: (B, T, C).
        size: Odd number of steps in a window.
        edge: What lies beyond the ends: zeros, or the other end.

    Returns:
        (B, T, size · C): at step t the steps t − (size−1)/2 … t + (size−1)/2.
    """
    half, steps = size // 2, x.shape[1]
    mode = "constant" if edge == "zero" else "wrap"
    padded = jnp.pad(x, ((0, 0), (half, half), (0, 0)), mode=mode)
    return jnp.concatenate([padded[:, i : i + steps] for i in range(size)], axis=-1)


GRID = 8


@register("image")
class ImageTower(Tower):
    """The picture as 8 × 8 tokens, mixed over space and over channels in turn.

    Matrix products alone (see `windows.py` for why not convolutions), and no batch statistics: an
    embedding depends on its own image alone, as a contrastive loss needs.

    `width` channels of a token, `depth` mixer blocks.

    References:
        Tolstikhin et al. 2021, "MLP-Mixer" (arXiv 2105.01601).
    """

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, H, W, C) to (B, features); H and W multiples of 8."""
        batch, height, width, channels = sample.shape
        if height % GRID or width % GRID:
            raise ConfigError(
                f"the image encoder expects heights and widths in multiples of {GRID} pixels, "
                f"found {height} × {width}"
            )
        rows, columns = height // GRID, width // GRID
        x = sample.reshape(batch, GRID, rows, GRID, columns, channels)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, GRID * GRID, rows * columns * channels)
        x = nn.Dense(self.width, dtype=self.dtype)(x)  # (B, 64, width)
        for _ in range(self.depth):
            tokens = nn.LayerNorm(dtype=self.dtype)(x).swapaxes(1, 2)  # (B, width, 64)
            x = x + self._mlp(tokens).swapaxes(1, 2)
            x = x + self._mlp(nn.LayerNorm(dtype=self.dtype)(x))
        mean = nn.LayerNorm(dtype=self.dtype)(x).mean(axis=1)  # (B, width)
        return nn.Dense(self.features, dtype=self.dtype)(mean)

    def _mlp(self, x: jax.Array) -> jax.Array:
        """Two dense layers over the last axis, twice as wide inside."""
        n = x.shape[-1]
        return nn.Dense(n, dtype=self.dtype)(nn.gelu(nn.Dense(2 * n, dtype=self.dtype)(x)))


@register("text")
class TextTower(Tower):
    """Byte embeddings, residual 1-D convolutions, then mean and maximum over the text.

    Bytes of value 0 are padding: they change nothing but the share of the text's own bytes.

    `width` channels, `depth` residual blocks of 5-byte windows.
    """

    standardised = False

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, length) uint8 to (B, features)."""
        present = (sample != 0)[:, :, None]  # (B, length, 1)
        weight = present.astype(self.dtype)
        x = nn.Embed(256, self.width, dtype=self.dtype)(sample.astype(jnp.int32)) * weight
        for _ in range(self.depth):
            y = nn.Dense(self.width, dtype=self.dtype)(windows(x, 5, "zero"))
            x = (x + nn.gelu(nn.LayerNorm(dtype=self.dtype)(y))) * weight
        count = jnp.maximum(weight.sum(axis=1), 1)  # (B, 1); an empty text has no bytes
        mean = x.sum(axis=1) / count
        # By its position, found once. The gradient of `max` looks for the maximum's value in an x
        # that XLA may recompute with another rounding; where it finds none, the gradient is lost.
        lowest = jnp.finfo(self.dtype).min
        at = jnp.where(present, x, lowest).argmax(axis=1, keepdims=True)  # (B, 1, width)
        steps = jnp.arange(x.shape[1])[None, :, None]
        peak = jnp.where(steps == at, x, 0).sum(axis=1)  # 0 for an empty text
        return nn.Dense(self.features, dtype=self.dtype)(jnp.concatenate([mean, peak], axis=-1))


@register("series")
class SeriesTower(Tower):
    """Circular 1-D convolutions over time: December is next to January.

    The flattened output keeps which month is which, so that the hemispheres stay apart.

    `width` channels, `depth` windows of three time steps.
    """

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, time) or (B, time, channels) to (B, features)."""
        x = sample if sample.ndim == 3 else sample[:, :, None]
        for _ in range(self.depth):
            x = nn.gelu(nn.Dense(self.width, dtype=self.dtype)(windows(x, 3, "wrap")))
        x = x.reshape(x.shape[0], -1)  # (B, time · width)
        return nn.Dense(self.features, dtype=self.dtype)(x)


@register("projection")
class ProjectionTower(Tower):
    """`depth` dense layers; one is the linear head that SatCLIP trains on a frozen tower."""

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, ...) features, flattened, to (B, features)."""
        x = sample.reshape(sample.shape[0], -1)
        for _ in range(self.depth - 1):
            x = nn.gelu(nn.Dense(self.width, dtype=self.dtype)(x))
        return nn.Dense(self.features, dtype=self.dtype)(x)


@register("target")
class TargetTower(Tower):
    """A frozen target. The one trained layer is a linear head on the location embedding.

    The other way round (a head on the sample) training may turn the samples into whatever tells
    places apart. A target cannot be turned: what it does not say of a place, nothing is learnt of.

    Both sides are divided by √n: a squared distance is then the mean over features, and the linear
    head starts with predictions of about the length of standardised targets.

    `width` and `depth` are not used.
    """

    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, ...) features to (B, n), flattened."""
        flat = sample.reshape(sample.shape[0], -1)
        return flat / math.sqrt(flat.shape[1])

    @nn.compact
    def candidates(self, anchors: jax.Array, locations: jax.Array) -> jax.Array:
        """Maps location embeddings (B, D) to the targets' space (B, n)."""
        n = anchors.shape[-1]
        return nn.Dense(n, dtype=self.dtype)(locations) / math.sqrt(n)
