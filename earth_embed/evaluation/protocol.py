"""The evaluation: every feature, task, split, seed and label count under the same probes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from earth_embed.data.labels import Labels, Target
from earth_embed.data.order import hash_string
from earth_embed.errors import ConfigError, DataError
from earth_embed.evaluation.interpolation import interpolator
from earth_embed.evaluation.mlp import mlp_probe
from earth_embed.evaluation.results import INTERPOLATION, Record, Results, Row
from earth_embed.evaluation.ridge import ridge_probe
from earth_embed.evaluation.scores import score
from earth_embed.evaluation.settings import Settings
from earth_embed.evaluation.splits import (
    SPLIT_KINDS,
    Split,
    SplitKind,
    block_folds,
    inner_split,
    limit_labels,
    split_places,
)

_FEWEST_PLACES = 50

# One BLAS thread: sums then have one order whatever the number of cores, and BLAS does not fight
# XLA for them (three times the CPU time where it did).
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
        settings: What to run; None for the defaults.
        name: Which of the features is the run that is evaluated; the others are baselines.
        progress: Whether to show a progress bar.

    Returns:
        One record a task, feature, probe, split, seed and label count: the same, bit for bit, on
        every call on one machine.

    Raises:
        ConfigError: an unknown task, or `name` is none of the features.
        DataError: too few places, features that are not finite, or not one a place.
    """
    settings = settings or Settings()
    _check_features(features, labels, name)
    targets = select_targets(labels, settings.tasks)
    splits = {
        (kind, seed): split_places(
            kind, labels.lonlat, seed, settings.block_degrees, settings.test_fraction
        )
        for kind in SPLIT_KINDS
        for seed in range(settings.seeds)
    }
    # One list for all splits, so that every mean is over the same seeds.
    fewest = min(len(split.train) for split in splits.values())
    counts = [*(count for count in settings.label_counts if count < fewest), None]

    rows = [
        Row(INTERPOLATION, "idw"),
        *(Row(feature, probe) for probe in settings.probes for feature in features),
    ]
    fits = list(itertools.product(splits, counts, rows))
    records = []
    for (kind, seed), count, row in tqdm(fits, desc="evaluate", unit="fit", disable=not progress):
        split = splits[kind, seed]
        outer = Split(limit_labels(split.train, count, seed), split.test)
        predict = _probe(row, features, labels.lonlat, outer, kind, seed, settings)
        for target in targets.values():
            records.append(
                Record(
                    task=target.name,
                    feature=row.feature,
                    probe=row.probe,
                    split=kind,
                    seed=seed,
                    labels=count,
                    train=len(outer.train),
                    test=len(outer.test),
                    scores=score(target.kind, target.values[outer.test], predict(target)),
                )
            )
    kinds = {task: target.kind for task, target in targets.items()}
    return Results(name=name, settings=settings, kinds=kinds, records=tuple(records))


@_one_thread
def out_of_block(
    features: np.ndarray, labels: Labels, targets: Iterable[Target], block_degrees: float
) -> dict[str, np.ndarray]:
    """Ridge predictions at every place, each made without a label in the place's own block.

    Args:
        features: (N, D).
        labels: N labelled places.
        targets: What to predict there.
        block_degrees: Side of the blocks.

    Returns:
        Task → (N,) values, or class ids.
    """
    predictions = {target.name: np.empty_like(target.values) for target in targets}
    for outer in block_folds(labels.lonlat, seed=0, degrees=block_degrees):
        inner = inner_split("block", labels.lonlat, outer.train, 0, block_degrees, 0.2)
        predict = ridge_probe(features, outer, inner)
        for task, prediction in predictions.items():
            prediction[outer.test] = predict(labels.targets[task])
    return predictions


def select_targets(labels: Labels, tasks: tuple[str, ...]) -> dict[str, Target]:
    """The targets of the tasks.

    Raises:
        ConfigError: an unknown task.
    """
    unknown = [task for task in tasks if task not in labels.targets]
    if unknown:
        raise ConfigError(f"no task {unknown}: expected some of {sorted(labels.targets)}")
    return {task: labels.targets[task] for task in tasks}


def _probe(
    row: Row,
    features: Mapping[str, np.ndarray],
    lonlat: np.ndarray,
    outer: Split,
    kind: SplitKind,
    seed: int,
    settings: Settings,
) -> Callable[[Target], np.ndarray]:
    """What predicts the test rows of `outer` for any target."""
    if row.feature == INTERPOLATION:
        return interpolator(lonlat, outer, settings.neighbours)
    inner = inner_split(
        kind, lonlat, outer.train, seed, settings.block_degrees, settings.test_fraction
    )
    if row.probe == "ridge":
        return ridge_probe(features[row.feature], outer, inner)
    # No feature's name in the seed: all features get the same minibatches.
    return mlp_probe(features[row.feature], outer, inner, hash_string(f"mlp {kind} {seed}") % 2**31)


def _check_features(features: Mapping[str, np.ndarray], labels: Labels, name: str) -> None:
    count = len(labels.lonlat)
    if count < _FEWEST_PLACES:
        raise DataError(
            f"{count} labelled places are too few to evaluate on: expected {_FEWEST_PLACES} or more"
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
