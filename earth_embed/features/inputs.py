"""Prepares stored samples for frozen encoders: images, and texts as tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.errors import DataError, require
from earth_embed.features.transformer import PADDING
from earth_embed.images import MAX_PIXELS

CIRRUS = 10
"""Index of band B10 among Sentinel-2's 13 bands B1 … B8, B8A, B9, B10, B11, B12."""

STEP = 8
"""Token lengths are multiples of this, so that few lengths are compiled."""


@dataclass(frozen=True)
class ImageInput:
    """How images are resized, cropped and standardised.

    Attributes:
        size: Side of the square input, pixels.
        resize: Length to which the shorter side is resized before the centre is cropped, pixels.
        mean: Mean of each channel, in the units of stored images.
        std: Standard deviation of each channel, in the same units.
        method: Interpolation of the antialiased resizing.
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
        """Resizes, crops and standardises stored images.

        Args:
            images: (N, H, W, C) uint8, uint16 or float32. If 13 channels are expected, 12 are taken
                as Sentinel-2 without B10, which is filled with 0.

        Returns:
            (N, size, size, C) float32.

        Raises:
            DataError: the images have another number of channels or axes, or are narrow strips.
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
        shorter, longer = sorted((height, width))
        if shorter == self.resize:
            return x
        # A strip of one pixel would grow by thousands before its middle is cut out.
        if shorter == 0 or self.resize**2 * longer > MAX_PIXELS * shorter:
            raise DataError(
                f"expected images of at most {MAX_PIXELS:,} pixels when their shorter side has "
                f"{self.resize}; found {height} × {width}"
            )
        sides = (height * self.resize // shorter, width * self.resize // shorter)
        return jax.image.resize(x, (len(x), *sides, x.shape[-1]), self.method)


def with_cirrus(chips: jax.Array) -> jax.Array:
    """Inserts band B10, all zeros, into Sentinel-2 chips of 12 bands.

    Level 2A lacks B10, which shows cirrus clouds and not the ground. The encoders of SSL4EO-S12
    were trained on level 1C, which has it. SatCLIP fills in zeros for S2-100K too.

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
    """The tokens of an encoder.

    Attributes:
        length: Maximum number of tokens of a text, including those that begin and end it.
        vocabulary: Number of different tokens.
    """

    length: int
    vocabulary: int

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """The shape and type of one text's tokens, (1, length)."""
        return jax.ShapeDtypeStruct((1, self.length), jnp.int32)

    def prepare(self, tokens: jax.Array) -> jax.Array:
        """Checks the tokens (N, T) int32 of a `Tokenizer`, T ≤ length, and returns them.

        Raises:
            DataError: the shape or type is another, or there are too many tokens.
        """
        if tokens.ndim != 2 or tokens.dtype != jnp.int32 or tokens.shape[1] > self.length:
            raise DataError(
                f"expected int32 tokens of shape (N, {self.length} or less); found {tokens.dtype} "
                f"of shape {tokens.shape}"
            )
        return tokens


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Turns a tokenizer's own errors into a DataError."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Rust's errors are plain Exceptions, its panics not even these
        raise DataError(f"{path} is no tokenizer.json: {error}") from error


class Tokenizer:
    """Splits texts into tokens: CLIP's byte pairs, BERT's word pieces, or what the file defines."""

    def __init__(self, path: Path, read: TextInput) -> None:
        """Reads a tokenizer.json.

        Raises:
            DataError: the file is missing, is no tokenizer, or is another encoder's.
            EarthEmbedError: the package that reads it is missing.
        """
        try:
            import tokenizers
        except ImportError as error:
            raise require("tokenizers", "features", f"reading {path}") from error
        if not path.is_file():
            raise DataError(f"no tokenizer {str(path)!r}: expected the model's tokenizer.json")
        with _faults_of(path):
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        if (found := self._tokenizer.get_vocab_size()) != read.vocabulary:
            raise DataError(
                f"{path} has {found} tokens; expected the encoder's, with {read.vocabulary}"
            )
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(read.length)
        self._path, self._read = path, read

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens (N, T) int32, padded with PADDING; T is the longest text's length, rounded up.

        Raises:
            DataError: the file contradicts itself, or numbers its tokens otherwise than the
                encoder.
        """
        with _faults_of(self._path):
            tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        longest = max(map(len, tokens), default=0)
        filled = np.full((len(tokens), min(self._read.length, -(-longest // STEP) * STEP)), PADDING)
        for row, ids in enumerate(tokens):
            filled[row, : len(ids)] = ids
        if (last := filled.max(initial=0)) >= self._read.vocabulary:
            raise DataError(
                f"{self._path} gives token {last}; expected numbers below {self._read.vocabulary}"
            )
        return filled.astype(np.int32)
