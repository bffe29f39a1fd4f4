"""Label interpolation, which needs no embedding: the bar that an embedding has to clear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from earth_embed.coordinates import unit_vector
from earth_embed.data.labels import Target
from earth_embed.evaluation.splits import Split

_NEAREST = 1e-9
"""Radians (6 mm). Distances are raised to it, so that weights stay finite at a labelled place."""


def interpolator(
    lonlat: np.ndarray, split: Split, neighbours: int = 50
) -> Callable[[Target], np.ndarray]:
    """Inverse-distance weighting over the nearest labels (Shepard 1968), weights 1/d².

    d is the great-circle distance. Classes are elected by weighted vote.

    Args:
        lonlat: (N, 2), degrees.
        split: Rows with labels and rows to predict.
        neighbours: Nearest labels used.

    Returns:
        A function from a target at the N places to predictions of the test rows:
        (len(split.test),) values, or class ids.
    """
    points = unit_vector(lonlat)
    nearest_first = np.arange(1, min(neighbours, len(split.train)) + 1)
    chords, nearest = cKDTree(points[split.train]).query(points[split.test], k=nearest_first)
    angles = np.maximum(2 * np.arcsin(np.clip(chords / 2, 0, 1)), _NEAREST)
    weights = (angles[:, :1] / angles) ** 2  # (M, k); the nearest label weighs 1

    def predict(target: Target) -> np.ndarray:
        labels = target.values[split.train][nearest]  # (M, k)
        if target.kind == "regression":
            return (weights * labels).sum(axis=1) / weights.sum(axis=1)
        rows, classes = len(labels), int(labels.max()) + 1
        ballots = labels + classes * np.arange(rows)[:, None]
        votes = np.bincount(ballots.ravel(), weights.ravel(), minlength=rows * classes)
        return votes.reshape(rows, classes).argmax(axis=1)

    return predict
