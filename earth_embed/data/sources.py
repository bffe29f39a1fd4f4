"""Random access to the samples of a modality and their places."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from earth_embed.coordinates import check_lonlat
from earth_embed.errors import DataError

Examples = dict[str, np.ndarray]
"""{"sample": (B, ...), "lonlat": (B, 2) float32 degrees}"""

SMALL = (np.uint8, np.uint16)
"""Sample types that are transferred to the device as they are; all others become float32."""


class Source(Protocol):
    """One modality's examples, readable in any order."""

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def gather(self, indices: np.ndarray) -> Examples:
        """Reads examples by index: samples (B, ...) and lonlat (B, 2) float32 degrees."""
        ...


@dataclass(frozen=True)
class ArraySource:
    """Examples held in memory: numeric samples (N, ...) at lonlat (N, 2), float32 degrees."""

    samples: np.ndarray
    lonlat: np.ndarray

    def __post_init__(self) -> None:
        """Checks that every sample has a place."""
        if len(self.samples) != len(self.lonlat):
            raise DataError(
                f"{len(self.samples)} samples but {len(self.lonlat)} places: expected one each"
            )
        object.__setattr__(self, "lonlat", check_lonlat(self.lonlat).astype(np.float32))

    def __len__(self) -> int:
        return len(self.samples)

    def gather(self, indices: np.ndarray) -> Examples:
        """Reads examples by index."""
        return {"sample": self.samples[indices], "lonlat": self.lonlat[indices]}


@dataclass(frozen=True)
class Views:
    """Examples with several views each, augmented and moved; the first source is the plain view."""

    views: tuple[Source, ...]

    def __len__(self) -> int:
        return len(self.views[0])

    def gather(self, indices: np.ndarray) -> Examples:
        """Reads the plain view of examples by index."""
        return self.views[0].gather(indices)

    def gather_views(self, indices: np.ndarray, views: np.ndarray) -> Examples:
        """Reads examples by index, each in its own view (B,)."""
        order = np.argsort(views, kind="stable")
        parts = [
            source.gather(indices[order[views[order] == view]])
            for view, source in enumerate(self.views)
            if (views == view).any()
        ]
        back = np.argsort(order)
        return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}


def allocate(shape: tuple[int, ...], dtype: np.dtype | type, what: str) -> np.ndarray:
    """An array to be filled with samples.

    Linux lends more memory than it has and ends the process later, hence a check of its own.

    Args:
        shape: Its shape.
        dtype: Its type.
        what: What the samples are, for messages.

    Raises:
        DataError: this machine has less memory.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = _memory()
    try:
        if size <= memory:
            return np.empty(shape, dtype)
    except MemoryError:
        pass  # a limit on this process alone
    raise DataError(
        f"{what} need {size / 2**30:,.1f} GiB, as {np.dtype(dtype)} of shape {shape}; expected at "
        f"most the memory of this process, of {memory / 2**30:,.1f} GiB on this machine "
        "(Input(in_memory=False) reads batch by batch)"
    )


def _memory() -> int:
    """Bytes of this machine's memory; where that is not known, more than any array."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return sys.maxsize


def in_memory(source: Source) -> Source:
    """Reads a whole source into memory."""
    if isinstance(source, ArraySource):
        return source
    if isinstance(source, Views):
        return Views(tuple(map(in_memory, source.views)))
    examples = source.gather(np.arange(len(source)))
    return ArraySource(examples["sample"], examples["lonlat"])


def encode_text(texts: list[str], length: int) -> np.ndarray:
    """Texts as UTF-8 bytes, cut or zero-padded to one length: (N, length) uint8."""
    encoded = [text.encode()[:length].ljust(length, b"\0") for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8).reshape(len(texts), length)


def open_npy(path: Path) -> np.ndarray:
    """Memory-maps a .npy file, of which a read touches only its own rows.

    Raises:
        DataError: the file is missing, cut, no .npy file (but .npz, say), or holds Python objects.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy's parser of a damaged header raises whatever it trips over
        raise DataError(f"cannot read {path}: {error}") from error
