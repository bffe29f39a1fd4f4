"""From stored samples to what a frozen encoder was trained to read: images, and texts as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.errors import DataError, require
from earth_embed.features.text import PADDING

CIRRUS = 10
"""Where band B10 lies among Sentinel-2's 13 bands B1 … B8, B8A, B9, B10, B11, B12."""


@dataclass(frozen=True)
class ImageInput:
    """How images are resized, cropped and standardised.

    Attributes:
        size: Side of the square that the encoder reads, pixels.
        resize: Length that the shorter side is brought to first; the centre is cut out then.
        mean: Of each channel, in the units in which images are stored.
        std: Of each channel, likewise.
        method: How images are resized, with a filter as wide as the reduction.
    """

    size: int
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    method: Literal["linear", "cubic"] = "linear"

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """The shape and type of one prepared image, (1, size, size, C)."""
        return jax.ShapeDtypeStruct((1, self.size, self.size, len(self.mean)), jnp.float32)

    def prepare(self, images: jax.Array) -> jax.Array:
        """Maps images as stored to what the encoder reads.

        Args:
            images: (N, H, W, C) uint8, uint16 or float32. Where 13 channels are expected, 12 are
                taken as Sentinel-2 without B10, which becomes 0.

        Returns:
            (N, size, size, C) float32.

        Raises:
            DataError: the images have another number of channels or axes.
        """
        channels = len(self.mean)
        x = images.astype(jnp.float32)
        if x.ndim == 4 and channels == 13 and x.shape[-1] == 12:
            x = with_cirrus(x)
        if x.ndim != 4 or x.shape[-1] != channels:
            either = "12 or 13" if channels == 13 else str(channels)
            raise DataError(
                f"expected images (H, W, C) of {either} channels; found samples of shape "
                f"{images.shape[1:]}"
            )
        x = self._resized(x)
        top, left = ((side - self.size) // 2 for side in x.shape[1:3])
        x = x[:, top : top + self.size, left : left + self.size]
        mean, std = jnp.float32(self.mean), jnp.float32(self.std)
        return (x - mean[None, None, None]) / std[None, None, None]

    def _resized(self, x: jax.Array) -> jax.Array:
        height, width = x.shape[1:3]
        shorter = min(height, width)
        if shorter == self.resize:
            return x
        sides = (height * self.resize // shorter, width * self.resize // shorter)
        return jax.image.resize(x, (len(x), *sides, x.shape[-1]), self.method)


def with_cirrus(chips: jax.Array) -> jax.Array:
    """Inserts band B10, all zeros, into Sentinel-2 chips of 12 bands.

    Level 2A has no B10, which sees cirrus clouds and not the ground; the encoders of SSL4EO-S12
    were trained on level 1C, which has. SatCLIP fills it so for S2-100K.

    Args:
        chips: (..., 12), the bands B1 … B8, B8A, B9, B11, B12.

    Returns:
        (..., 13), the bands B1 … B8, B8A, B9, B10, B11, B12.

    References:
        Klemmer et al. 2023 (arXiv 2311.17179); Wang et al. 2022 (arXiv 2211.07044).
    """
    before, after = chips[..., :CIRRUS], chips[..., CIRRUS:]
    return jnp.concatenate([before, jnp.zeros_like(chips[..., :1]), after], axis=-1)


@dataclass(frozen=True)
class TextInput:
    """Which tokens there are, and how many a text may have.

    Attributes:
        length: Most tokens of a text, those that begin and end it among them.
        vocabulary: Number of tokens that the encoder knows.
    """

    length: int
    vocabulary: int

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """The shape and type of one text's tokens, (1, length)."""
        return jax.ShapeDtypeStruct((1, self.length), jnp.int32)

    def prepare(self, tokens: jax.Array) -> jax.Array:
        """Checks tokens (N, T) int32 of a `Tokeniser`, T ≤ length, and returns them.

        Raises:
            DataError: they are of another shape or type, or too many.
        """
        if tokens.ndim != 2 or tokens.dtype != jnp.int32 or tokens.shape[1] > self.length:
            raise DataError(
                f"expected int32 tokens of shape (N, {self.length} or less); found {tokens.dtype} "
                f"of shape {tokens.shape}"
            )
        return tokens


STEP = 8
"""Lengths are multiples of this, so that few of them are compiled."""


class Tokeniser:
    """CLIP's byte pairs, BERT's word pieces, or whatever else the file defines."""

    def __init__(self, path: Path, read: TextInput) -> None:
        """Reads a tokenizer.json.

        Args:
            path: The file.
            read: What the encoder reads.

        Raises:
            DataError: no such file, or one that is no tokeniser, or that of another encoder.
            EarthEmbedError: the package that reads it is missing.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise require("tokenizers", "features", f"reading {path}") from error
        if not path.is_file():
            raise DataError(f"no tokeniser {str(path)!r}: expected the model's tokenizer.json")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # its Rust side raises nothing more special
            raise DataError(f"{path} is no tokenizer.json: {error}") from error
        if (found := self._tokenizer.get_vocab_size()) != read.vocabulary:
            raise DataError(
                f"{path} has {found} tokens; expected the encoder's, with {read.vocabulary}"
            )
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(read.length)
        self._length = read.length

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens (N, T) int32, filled up with PADDING; T is the longest's, rounded up."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        longest = max(map(len, tokens), default=0)
        filled = np.full((len(tokens), min(self._length, -(-longest // STEP) * STEP)), PADDING)
        for row, ids in enumerate(tokens):
            filled[row, : len(ids)] = ids
        return filled.astype(np.int32)
