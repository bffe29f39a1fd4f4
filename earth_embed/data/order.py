"""The stateless order of examples: which examples a step sees is a pure function of (seed, step).

Nothing about the order is ever saved. Resuming needs the step alone, and however many processes
share a batch, their slices concatenate to the same global batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from earth_embed.errors import DataError
from earth_embed.hashing import epoch_permutation, hash_string, mix64


class Draw(NamedTuple):
    """One modality's part of a batch."""

    batch: int
    """Batches of this modality drawn before this one."""
    size: int
    """Samples in this one."""


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Whole batches in an epoch.

    The tail that fills no batch is left out, a different tail each epoch: no batch mixes two
    epochs, so no example (and with distinct places, no location) repeats within a batch, where it
    would be a false negative.

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

    Args:
        count: Examples in the data set.
        batch_size: Global batch size.
        seed: Seed of the order.
        step: Batches of this data set drawn before this one.
        part: Index of the part.
        parts: Number of parts; it must divide the batch.

    Returns:
        (batch_size / parts,) indices into the data set.

    Raises:
        DataError: fewer examples than one batch, or a batch that cannot be so divided.
    """
    if batch_size % parts:
        raise DataError(f"a batch of {batch_size} cannot be shared by {parts} processes")
    epoch, offset = divmod(step, steps_per_epoch(count, batch_size))
    share = batch_size // parts
    start = offset * batch_size + part * share
    return epoch_permutation(count, seed, epoch)[start : start + share]


def view_numbers(indices: np.ndarray, views: int, seed: int, epoch: int) -> np.ndarray:
    """Which view of each example an epoch reads, where a data set holds several.

    A hash of (seed, epoch, index) as the order is, but under a name of its own: it says nothing of
    when in the epoch the example is read.

    Args:
        indices: (B,) examples.
        views: Number of views K.
        seed: Seed of the order.
        epoch: Epochs read before this one.

    Returns:
        (B,) int64 in 0 … K − 1, uniform.
    """
    key = mix64(mix64(np.array([seed ^ hash_string("view")], np.uint64)) ^ np.uint64(epoch))
    return (mix64(indices.astype(np.uint64) ^ key) % np.uint64(views)).astype(np.int64)
