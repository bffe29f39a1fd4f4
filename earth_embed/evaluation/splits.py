"""Which labelled places train a probe and which test it: at random, or whole blocks held out.

A random split asks for interpolation between labelled neighbours; held-out blocks ask for transfer
to regions without a label. All orders are hashes of (purpose, seed), the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from earth_embed.coordinates import block_of
from earth_embed.data.order import epoch_permutation, hash_string
from earth_embed.errors import DataError

SplitKind = Literal["random", "block"]
SPLIT_KINDS: tuple[SplitKind, ...] = ("random", "block")


@dataclass(frozen=True)
class Split:
    """Two disjoint sets of row indices.

    Attributes:
        train: (M,) int64, rows whose labels the probe sees.
        test: (N − M,) int64, rows that score it.
    """

    train: np.ndarray
    test: np.ndarray


def random_split(count: int, seed: int, test_fraction: float = 0.2) -> Split:
    """Holds out places at random.

    Args:
        count: Number of places.
        seed: Seed of the draw.
        test_fraction: Share of the places held out, rounded up.

    Raises:
        DataError: too few places for two sets.
    """
    held = int(np.ceil(test_fraction * count))
    order = _permutation(count, "random split", seed)
    return _checked(
        Split(train=np.sort(order[held:]), test=np.sort(order[:held])), "place(s)", count
    )


def block_split(
    lonlat: np.ndarray, seed: int, degrees: float = 10.0, test_fraction: float = 0.2
) -> Split:
    """Holds out whole blocks: they are drawn in seeded order until they hold enough places.

    Args:
        lonlat: (N, 2), degrees.
        seed: Seed of the draw.
        degrees: Side of a block.
        test_fraction: Least share of the places held out.

    Raises:
        DataError: all places lie in one block.
    """
    drawn_before, blocks = _blocks_in_seeded_order(lonlat, seed, degrees)
    held = drawn_before < test_fraction
    if blocks > 1:
        held &= drawn_before < drawn_before.max()  # the last block always trains
    split = Split(train=np.flatnonzero(~held), test=np.flatnonzero(held))
    return _checked(split, f"{degrees:g}° block(s)", blocks)


def block_folds(
    lonlat: np.ndarray, seed: int, degrees: float = 10.0, folds: int = 5
) -> tuple[Split, ...]:
    """Deals whole blocks to folds of about equal size; every place is tested exactly once.

    Args:
        lonlat: (N, 2), degrees.
        seed: Seed of the dealing.
        degrees: Side of a block.
        folds: Most folds; fewer come back where there are fewer blocks.

    Raises:
        DataError: all places lie in one block.
    """
    drawn_before, blocks = _blocks_in_seeded_order(lonlat, seed, degrees)
    fold = np.floor(drawn_before * folds).astype(np.int64)
    return tuple(
        _checked(
            Split(train=np.flatnonzero(fold != k), test=np.flatnonzero(fold == k)),
            f"{degrees:g}° block(s)",
            blocks,
        )
        for k in np.unique(fold)
    )


def split_places(
    kind: SplitKind, lonlat: np.ndarray, seed: int, degrees: float, test_fraction: float
) -> Split:
    """`random_split` or `block_split` by name."""
    if kind == "random":
        return random_split(len(lonlat), seed, test_fraction)
    return block_split(lonlat, seed, degrees, test_fraction)


def inner_split(
    kind: SplitKind,
    lonlat: np.ndarray,
    train: np.ndarray,
    seed: int,
    degrees: float,
    test_fraction: float,
) -> Split:
    """Splits the training rows once more, in the way of the outer split.

    Held-out blocks need hyperparameters chosen on held-out blocks: a random inner hold-out would
    reward features that merely interpolate, and choose too little regularisation.

    Args:
        kind: How the outer split was drawn.
        lonlat: (N, 2) of all places, degrees.
        train: Training rows of the outer split.
        seed: Seed of the outer split.
        degrees: Side of a block.
        test_fraction: Share held out.

    Returns:
        A partition of `train`, as rows of `lonlat`.
    """
    seed = hash_string(f"inner {seed}")  # otherwise equal hashes order the outer and inner draw
    split = split_places(kind, lonlat[train], seed, degrees, test_fraction)
    return Split(train=train[split.train], test=train[split.test])


def limit_labels(train: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """Keeps `count` training rows; a smaller count keeps a subset of what a larger one keeps.

    Args:
        train: (M,) row indices.
        count: Rows kept; None, or more than there are, keeps all.
        seed: Seed of the draw.
    """
    return np.sort(train[_permutation(len(train), "labels", seed)[:count]])


def _permutation(count: int, purpose: str, seed: int) -> np.ndarray:
    return epoch_permutation(count, hash_string(f"{purpose} {seed}"), 0)


def _blocks_in_seeded_order(
    lonlat: np.ndarray, seed: int, degrees: float
) -> tuple[np.ndarray, int]:
    """For each place, the share of all places in blocks drawn before its own; and the blocks."""
    blocks, block, sizes = np.unique(
        block_of(lonlat, degrees), return_inverse=True, return_counts=True
    )
    order = _permutation(len(blocks), "blocks", seed)
    drawn_before = np.empty(len(blocks))
    drawn_before[order] = (np.cumsum(sizes[order]) - sizes[order]) / len(lonlat)
    return drawn_before[block], len(blocks)


def _checked(split: Split, unit: str, count: int) -> Split:
    if not (len(split.train) and len(split.test)):
        raise DataError(
            f"cannot split {count} {unit} into train and test: give labels at more places"
        )
    return split
