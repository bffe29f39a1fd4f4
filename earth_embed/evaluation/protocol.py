"""The protocol: all features are scored on the same tasks, splits, label counts and probes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from threadpoolctl import threadpool_limits

from earth_embed.coordinates import block_of
from earth_embed.errors import ConfigError, DataError
from earth_embed.evaluation.mlp import mlp_probe
from earth_embed.evaluation.probes import interpolator, ridge_probe
from earth_embed.evaluation.results import INTERPOLATION, Places, Record, Results, Row
from earth_embed.evaluation.scores import score
from earth_embed.evaluation.settings import Settings
from earth_embed.evaluation.splits import (
    Split,
    deal,
    draw_splits,
    groups_of,
    inner_split,
    limit_labels,
)
from earth_embed.hashing import hash_string
from earth_embed.progress import bar
from earth_embed.tasks.labels import Labels, Target

_FEWEST_PLACES = 50

# One BLAS thread: the order of sums does not depend on the number of cores, and BLAS does not
# compete with XLA for them (it took three times the CPU time when it did).
_one_thread = threadpool_limits.wrap(limits=1, user_api="blas")


@_one_thread
def evaluate(
    features: Mapping[str, np.ndarray],
    labels: Labels,
    settings: Settings | None = None,
    *,
    name: str,
    progress: bool = True,
) -> Results:
    """Scores frozen features on the same tasks and splits, beside label interpolation.

    Args:
        features: Name → (N, D) features at the places of `labels`.
        labels: N labelled places.
        settings: What to run; None for the defaults. `tasks` is not read: all targets of `labels`
            are scored.
        name: The feature to evaluate; the others are baselines.
        progress: Whether to show a progress bar.

    Returns:
        One record per task, feature, probe, split, seed, fold and label count; bit-identical on
        every call on one machine.

    Raises:
        ConfigError: `name` is none of the features.
        DataError: there are too few places, they lie too close together for the splits, or
            features are not finite or not one row per place.
    """
    settings = settings or Settings()
    _check_features(features, labels, name)
    targets = labels.targets
    groups = groups_of(labels.lonlat, settings)
    splits = {
        (kind, seed, fold): split
        for kind in settings.splits
        for (seed, fold), split in draw_splits(kind, groups[kind], labels, settings).items()
    }
    # The same counts for all splits, so that every mean is over the same seeds.
    fewest = min(len(split.train) for split in splits.values())
    counts = [*(count for count in settings.label_counts if count < fewest), None]

    rows = [
        Row(INTERPOLATION, "idw"),
        *(Row(feature, probe) for probe in settings.probes for feature in features),
    ]
    fits = list(itertools.product(splits, counts, rows))
    records = []
    shown = bar(fits, desc=", ".join(targets), unit="fit", disable=not progress)
    for (kind, seed, fold), count, row in shown:
        split = splits[kind, seed, fold]
        outer = Split(limit_labels(split.train, count, seed), split.test)
        predict = _probe(row, features, labels.lonlat, outer, groups[kind], seed, settings)
        for target in targets.values():
            records.append(
                Record(
                    task=target.name,
                    feature=row.feature,
                    probe=row.probe,
                    split=kind,
                    seed=seed,
                    fold=fold,
                    labels=count,
                    train=len(outer.train),
                    test=len(outer.test),
                    scores=score(target.kind, target.values[outer.test], predict(target)),
                )
            )
    kinds = {task: target.kind for task, target in targets.items()}
    places = {
        task: Places(len(target.values), target.source, target.dropped)
        for task, target in targets.items()
    }
    return Results(name=name, settings=settings, kinds=kinds, records=tuple(records), places=places)


@_one_thread
def out_of_block(
    features: np.ndarray, labels: Labels, targets: Iterable[Target], block_degrees: float
) -> dict[str, np.ndarray]:
    """Ridge predictions at every place, made without labels in the place's own block.

    Returns:
        Task → (N,) values, or class ids.

    Raises:
        DataError: there are too few blocks.
    """
    targets = tuple(targets)
    predictions = {target.name: np.empty_like(target.values) for target in targets}
    blocks = block_of(labels.lonlat, block_degrees)
    try:
        folds = deal(blocks, np.arange(len(blocks)), seed=0)
        inners = [inner_split(blocks, outer.train, 0, 0.2) for outer in folds]
    except DataError as error:
        raise DataError(f"maps of {', '.join(predictions)}: {error}") from error
    for outer, inner in zip(folds, inners, strict=True):
        predict = ridge_probe(features, outer, inner)
        for target in targets:
            predictions[target.name][outer.test] = predict(target)
    return predictions


def _probe(
    row: Row,
    features: Mapping[str, np.ndarray],
    lonlat: np.ndarray,
    outer: Split,
    groups: np.ndarray | None,
    seed: int,
    settings: Settings,
) -> Callable[[Target], np.ndarray]:
    """A function that predicts the test rows of `outer` for any target."""
    if row.feature == INTERPOLATION:
        return interpolator(lonlat, outer, settings.neighbours)
    inner = inner_split(groups, outer.train, seed, settings.test_fraction)
    if row.probe == "ridge":
        return ridge_probe(features[row.feature], outer, inner)
    # The seed does not depend on the feature: all features get the same minibatches.
    held_out = "random" if groups is None else "block"
    seed = hash_string(f"mlp {held_out} {seed}") % 2**31
    return mlp_probe(features[row.feature], outer, inner, seed)


def _check_features(features: Mapping[str, np.ndarray], labels: Labels, name: str) -> None:
    count = len(labels.lonlat)
    if count < _FEWEST_PLACES:
        raise DataError(
            f"{count} labelled places are too few to evaluate {', '.join(labels.targets)} on: "
            f"expected {_FEWEST_PLACES} or more"
        )
    if name not in features or INTERPOLATION in features:
        raise ConfigError(
            f"the evaluated run {name!r} must be one of the features, and none of them may be "
            f"called {INTERPOLATION!r}; found {list(features)}"
        )
    for feature, values in features.items():
        if values.ndim != 2 or len(values) != count:
            raise DataError(
                f"features {feature!r} have shape {values.shape}: expected ({count}, D), "
                "one row a labelled place"
            )
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            lon, lat = labels.lonlat[np.argmax(bad)]
            raise DataError(
                f"features {feature!r} are not finite at {bad.sum()} of {count} places; the first "
                f"is lon={lon:g}, lat={lat:g}: expected finite numbers"
            )
