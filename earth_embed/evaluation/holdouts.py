"""The splits of an evaluation: which kinds there are, and what each holds out together."""

from __future__ import annotations

import numpy as np

from earth_embed.coordinates import block_of
from earth_embed.data.datasets.continents import continent_of
from earth_embed.data.labels import Labels
from earth_embed.errors import DataError
from earth_embed.evaluation.settings import CONTINENTS, RANDOM, Settings, block_split_name
from earth_embed.evaluation.splits import Split, deal, hold_out, inner_split, leave_one_out

_FEWEST_OF_A_CONTINENT = 20


def groups_of(lonlat: np.ndarray, settings: Settings) -> dict[str, np.ndarray | None]:
    """What each kind of split holds out together.

    Args:
        lonlat: (N, 2), degrees.
        settings: Which kinds there are.

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
    """The splits of one kind.

    Args:
        kind: One of `Settings.splits`.
        groups: What it holds out together.
        labels: N labelled places.
        settings: Seeds, folds and shares.

    Returns:
        (seed, fold) → split; a continent has its number in place of a seed.

    Raises:
        DataError: too few groups for a split, or for the probes' own split of its training part.
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
        for (seed, _), split in splits.items():  # what the probes will do, before any work
            inner_split(groups, split.train, seed, settings.test_fraction)
    except DataError as error:
        raise DataError(f"{kind} of {', '.join(labels.targets)}: {error}") from error
    return splits
