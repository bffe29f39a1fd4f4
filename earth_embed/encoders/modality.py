"""Modality encoders: from samples to embeddings. Your own joins with one decorator.

    @register("my_tower")
    class MyTower(Tower):
        @nn.compact
        def __call__(self, sample):        # (B, ...) float32
            ...                            # (B, self.features)

Import its module in the experiment file, then write `Modality(encoder="my_tower", ...)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.errors import ConfigError


class Tower(nn.Module):
    """Base of modality encoders: samples (B, ...) → embeddings (B, features).

    Attributes:
        features: Dimension D of the output.
        width: Width of the hidden layers.
        depth: Number of layers or blocks, as the encoder defines it.
        dtype: Data type of the matrix products; parameters are float32.
        standardised: Whether samples arrive as float32 (x − mean) / std, or as they are stored.
        reads: The stored samples that the encoder is made for, for messages.
    """

    standardised: ClassVar[bool] = True
    reads: ClassVar[str] = "samples of any shape and type"

    features: int
    width: int = 64
    depth: int = 2
    dtype: Any = jnp.float32

    @staticmethod
    def accepts(shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Whether stored samples of this shape and type are what the encoder is made for.

        Arithmetic alone would let almost any encoder train on any numbers.
        """
        return True

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
    """Registers a subclass of Tower under a name.

    Raises:
        ConfigError: another class has the name, or the class is not a Tower.
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
    """Builds a modality's encoder, by its registered name, with these attributes of `Tower`.

    Raises:
        ConfigError: there is no encoder of that name; the message has the modality's `name`.
    """
    if encoder not in _registry:
        raise ConfigError(
            f"modalities[{name!r}].encoder = {encoder!r}: expected one of {sorted(_registry)}"
        )
    return _registry[encoder](**attributes)


def windows(x: jax.Array, size: int, edge: Literal["zero", "wrap"]) -> jax.Array:
    """Stacks each step of a sequence with its neighbours; a dense layer then makes a convolution.

    XLA on a CPU runs a convolution inside `lax.cond`, where SALT's steps are, as a plain loop: 69
    times slower than outside (experiments/benchmarks/conv_in_cond.py). This is fast in both places.

    Args:
        x: (B, T, C).
        size: Odd number of steps in a window.
        edge: Padding: zeros, or the values at the other end.

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
    """MLP-Mixer on a grid of 8 × 8 image patches.

    It has no convolutions (see `windows`) and no batch statistics, through which a contrastive
    loss would leak between the samples of a batch.

    `width` is the number of channels per token, `depth` the number of mixer blocks.

    References:
        Tolstikhin et al. 2021, "MLP-Mixer" (arXiv 2105.01601).
    """

    reads = "images (H, W, C)"

    @staticmethod
    def accepts(shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Three axes."""
        return len(shape) == 3

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
        """Two dense layers over the last axis, with a hidden layer twice as wide."""
        n = x.shape[-1]
        return nn.Dense(n, dtype=self.dtype)(nn.gelu(nn.Dense(2 * n, dtype=self.dtype)(x)))


@register("text")
class TextTower(Tower):
    """Byte embeddings, residual 1-D convolutions, then mean and maximum over the text.

    Zero bytes are padding and do not affect the embedding.

    `width` is the number of channels, `depth` the number of residual blocks with 5-byte windows.
    """

    standardised = False
    reads = "texts (length) uint8"

    @staticmethod
    def accepts(shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Bytes."""
        return len(shape) == 1 and dtype == np.uint8

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, length) uint8 to (B, features)."""
        present = (sample != 0)[:, :, None]  # (B, length, 1)
        weight = present.astype(self.dtype)
        x = nn.Embed(256, self.width, dtype=self.dtype)(sample.astype(jnp.int32)) * weight
        for _ in range(self.depth):
            y = nn.Dense(self.width, dtype=self.dtype)(windows(x, 5, "zero"))
            x = (x + nn.gelu(nn.LayerNorm(dtype=self.dtype)(y))) * weight
        count = jnp.maximum(weight.sum(axis=1), 1)  # (B, 1); not 0 for an empty text
        mean = x.sum(axis=1) / count
        # Select the maximum by position. The gradient of `max` compares x with the maximum's value,
        # which matches nowhere, so the gradient is lost, if XLA recomputes x with other rounding.
        lowest = jnp.finfo(self.dtype).min
        at = jnp.where(present, x, lowest).argmax(axis=1, keepdims=True)  # (B, 1, width)
        steps = jnp.arange(x.shape[1])[None, :, None]
        peak = jnp.where(steps == at, x, 0).sum(axis=1)  # 0 for an empty text
        return nn.Dense(self.features, dtype=self.dtype)(jnp.concatenate([mean, peak], axis=-1))


@register("series")
class SeriesTower(Tower):
    """Circular 1-D convolutions over time: December is next to January.

    The output is flattened, not averaged over time: the phase of the seasons tells the hemispheres
    apart.

    `width` is the number of channels, `depth` the number of layers with 3-step windows.
    """

    reads = "series (time) float32 or uint16, or (time, channels)"

    @staticmethod
    def accepts(shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """One axis of bytes is a text."""
        return len(shape) == 2 or (len(shape) == 1 and dtype != np.uint8)

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
    """`depth` dense layers; depth 1 is the linear head that SatCLIP trains on frozen features."""

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, ...) features, flattened, to (B, features)."""
        x = sample.reshape(sample.shape[0], -1)
        for _ in range(self.depth - 1):
            x = nn.gelu(nn.Dense(self.width, dtype=self.dtype)(x))
        return nn.Dense(self.features, dtype=self.dtype)(x)


@register("target")
class TargetTower(Tower):
    """Frozen samples as targets; the only trained layer is a linear head on the location embedding.

    A head on the sample side could learn any projection that separates places. A frozen target
    cannot change, so the location encoder learns only what the target says about a place.

    Both sides are divided by √n. Squared distances are then means over features, and the head's
    first predictions have about the length of standardised targets.

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
