"""The order of examples: which ones a step sees is a pure function of (seed, step).

No state of the order is saved: resuming needs only the step. However many processes share a batch,
their slices concatenate to the same global batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from earth_embed.errors import DataError
from earth_embed.hashing import epoch_permutation, hash_string, mix64


class Draw(NamedTuple):
    """One modality's part of a batch."""

    batch: int
    """Number of batches of this modality before this one."""
    size: int
    """Number of samples."""


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Whole batches in an epoch.

    The remainder, a different one in each epoch, is left out. No batch then mixes two epochs, so
    no example repeats within a batch, where it would be a false negative.

    Raises:
        DataError: fewer examples than one batch.
    """
    if count < batch_size:
        raise DataError(f"{count} examples are fewer than one batch of {batch_size}")
    return count // batch_size


def batch_indices(
    count: int, batch_size: int, seed: int, step: int, part: int = 0, parts: int = 1
) -> np.ndarray:
    """The examples of one batch, or of one of its equal parts.

    `step` counts the batches of this data set before this one; `batch_size` is that of all parts.

    Returns:
        (batch_size / parts,) indices into the data set.

    Raises:
        DataError: fewer examples than one batch, or a batch that `parts` does not divide.
    """
    if batch_size % parts:
        raise DataError(f"a batch of {batch_size} cannot be shared by {parts} processes")
    epoch, offset = divmod(step, steps_per_epoch(count, batch_size))
    share = batch_size // parts
    start = offset * batch_size + part * share
    return epoch_permutation(count, seed, epoch)[start : start + share]


def view_numbers(indices: np.ndarray, views: int, seed: int, epoch: int) -> np.ndarray:
    """Which of its views of each example (B,) an epoch reads: (B,) int64 in 0 … views − 1, uniform.

    A hash of (seed, epoch, index) like the order of examples, but keyed differently, so the view
    is independent of when in the epoch the example is read.
    """
    key = mix64(mix64(np.array([seed ^ hash_string("view")], np.uint64)) ^ np.uint64(epoch))
    return (mix64(indices.astype(np.uint64) ^ key) % np.uint64(views)).astype(np.int64)
