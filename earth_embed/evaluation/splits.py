"""Which labelled places train a probe and which test it: at random, or whole groups held out.

A random split tests interpolation between labelled neighbours; held-out blocks and continents test
transfer to regions without labels. Every order is seeded with a hash of (purpose, seed) and is the
same on all machines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earth_embed.coordinates import block_of
from earth_embed.datasets.packaged import continent_of
from earth_embed.errors import DataError
from earth_embed.evaluation.settings import CONTINENTS, RANDOM, Settings, block_split_name
from earth_embed.hashing import epoch_permutation, hash_string
from earth_embed.tasks.labels import Labels

_FEWEST_OF_A_CONTINENT = 20


@dataclass(frozen=True)
class Split:
    """Two disjoint sets of row indices: with labels for the probe, and to score it on."""

    train: np.ndarray
    test: np.ndarray


def groups_of(lonlat: np.ndarray, settings: Settings) -> dict[str, np.ndarray | None]:
    """The groups of places (N, 2), degrees, that each kind of split holds out as a whole.

    Returns:
        Kind → (N,) int64 groups, or None for single places.
    """
    groups: dict[str, np.ndarray | None] = {RANDOM: None}
    for degrees in settings.block_degrees:
        groups[block_split_name(degrees)] = block_of(lonlat, degrees)
    if settings.continents:
        groups[CONTINENTS] = continent_of(lonlat)
    return groups


def draw_splits(
    kind: str, groups: np.ndarray | None, labels: Labels, settings: Settings
) -> dict[tuple[int, int], Split]:
    """Draws the splits of one kind, with its groups from `groups_of`.

    Returns:
        (seed, fold) → split; for continents, the continent's number takes the place of the seed.

    Raises:
        DataError: there are too few groups for a split, or for the inner split of its training
            rows.
    """
    rows = np.arange(len(labels.lonlat))
    splits: dict[tuple[int, int], Split] = {}
    try:
        if kind == CONTINENTS and groups is not None:
            left_out = leave_one_out(groups, _FEWEST_OF_A_CONTINENT)
            splits = {(continent, 0): split for continent, split in left_out.items()}
        elif settings.folds:
            for seed in range(settings.seeds):
                folds = enumerate(deal(groups, rows, seed, settings.folds))
                splits |= {(seed, fold): split for fold, split in folds}
        else:
            for seed in range(settings.seeds):
                splits[seed, 0] = hold_out(groups, rows, seed, settings.test_fraction)
        # As the probes will, so that it fails before any work.
        for (seed, _), split in splits.items():
            inner_split(groups, split.train, seed, settings.test_fraction)
    except DataError as error:
        raise DataError(f"{kind} of {', '.join(labels.targets)}: {error}") from error
    return splits


def hold_out(
    groups: np.ndarray | None, rows: np.ndarray, seed: int, test_fraction: float = 0.2
) -> Split:
    """Holds out places at random, or whole groups in seeded order until enough places are held out.

    Args:
        groups: (N,) group of each place, such as its block; None for no groups.
        rows: (M,) rows to split.
        seed: Seed of the draw.
        test_fraction: Share of the rows to hold out, rounded up; with groups, the minimum share.

    Raises:
        DataError: there are too few places or groups for two sets.
    """
    if groups is None:
        held = int(np.ceil(test_fraction * len(rows)))
        order = _permutation(len(rows), "random split", seed)
        train, test = np.sort(order[held:]), np.sort(order[:held])
        return _checked(Split(rows[train], rows[test]), "place(s)", len(rows))
    drawn_before, count = _groups_in_seeded_order(groups[rows], seed)
    drawn = drawn_before < test_fraction
    if count > 1:
        drawn &= drawn_before < drawn_before.max()  # the last group always trains
    return _checked(Split(rows[~drawn], rows[drawn]), "group(s) of places", count)


def deal(
    groups: np.ndarray | None, rows: np.ndarray, seed: int, folds: int = 5
) -> tuple[Split, ...]:
    """Deals places, or whole groups, into folds of about equal size; each row is tested once.

    Args:
        groups: (N,) group of each place; None for no groups.
        rows: (M,) rows to split.
        seed: Seed of the draw.
        folds: Maximum number of folds; with few groups there may be fewer.

    Raises:
        DataError: all places lie in one group.
    """
    if groups is None:
        unit, count = "place(s)", len(rows)
        fold = np.empty(count, np.int64)
        fold[_permutation(count, "random folds", seed)] = np.arange(count) * folds // count
    else:
        unit = "group(s) of places"
        drawn_before, count = _groups_in_seeded_order(groups[rows], seed)
        fold = np.floor(drawn_before * folds).astype(np.int64)
    return tuple(
        _checked(Split(rows[fold != k], rows[fold == k]), unit, count) for k in np.unique(fold)
    )


def leave_one_out(groups: np.ndarray, fewest: int) -> dict[int, Split]:
    """Holds out in turn each group of `fewest` places or more; smaller groups always train.

    Returns:
        Group → its split.

    Raises:
        DataError: fewer than three groups are large enough. One is tested, and a probe needs two
            to choose its penalty.
    """
    found, sizes = np.unique(groups, return_counts=True)
    large = found[sizes >= fewest]
    if len(large) < 3:
        raise DataError(
            f"expected 3 or more groups of {fewest} places or more, found {len(large)} in "
            f"{len(groups)} places"
        )
    return {
        int(group): Split(np.flatnonzero(groups != group), np.flatnonzero(groups == group))
        for group in large
    }


def inner_split(
    groups: np.ndarray | None, train: np.ndarray, seed: int, test_fraction: float
) -> Split:
    """Splits the training rows of an outer split again, in the same way: a partition of `train`.

    Hyperparameters for held-out blocks must be chosen on held-out blocks: a random inner hold-out
    rewards interpolation and leads to too little regularisation.
    """
    # A seed of its own: with the outer seed, equal hashes would order both draws.
    return hold_out(groups, train, hash_string(f"inner {seed}"), test_fraction)


def limit_labels(train: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """Keeps `count` training rows (None: all); those of a smaller count are a subset."""
    return np.sort(train[_permutation(len(train), "labels", seed)[:count]])


def _permutation(count: int, purpose: str, seed: int) -> np.ndarray:
    return epoch_permutation(count, hash_string(f"{purpose} {seed}"), 0)


def _groups_in_seeded_order(groups: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """For each place, the share of places in groups drawn before its own; and the group count."""
    found, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = _permutation(len(found), "blocks", seed)
    drawn_before = np.empty(len(found))
    drawn_before[order] = (np.cumsum(sizes[order]) - sizes[order]) / len(groups)
    return drawn_before[group], len(found)


def _checked(split: Split, unit: str, count: int) -> Split:
    if not (len(split.train) and len(split.test)):
        raise DataError(
            f"cannot split {count} {unit} into train and test: give labels at "
            "more places, or hold out smaller blocks"
        )
    return split
