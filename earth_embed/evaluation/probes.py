"""Two predictors of a target: ridge regression on frozen features, and label interpolation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.spatial import cKDTree
from sklearn.linear_model import Ridge, RidgeClassifier

from earth_embed.coordinates import unit_vector
from earth_embed.evaluation.splits import Split
from earth_embed.tasks.labels import Target

PENALTIES = np.logspace(-6, 2, 9)
"""Penalties λ per training row. scikit-learn's alpha is λ · rows, so that a λ chosen on the inner
training rows means the same on all training rows."""

_NEAREST = 1e-9
"""Minimum distance in radians (6 mm), so that weights stay finite at a labelled place."""


def ridge_probe(features: np.ndarray, outer: Split, inner: Split) -> Callable[[Target], np.ndarray]:
    """Linear probe for any target: scikit-learn's Ridge or RidgeClassifier.

    λ is the best of `PENALTIES` on the inner hold-out, by squared error or accuracy. A single
    decomposition of the inner features serves all targets and all λ.

    Args:
        features: (N, D) frozen features.
        outer: Training and test rows.
        inner: A partition of the training rows, drawn like the outer split.

    Returns:
        A function from a target at the N places to predictions of the test rows:
        (len(outer.test),) values, or class ids.
    """
    path = PenaltyPath(*standardise(features, inner.train, inner.test))
    x_train, x_test = standardise(features, outer.train, outer.test)

    def predict(target: Target) -> np.ndarray:
        penalty = _choose_penalty(path, target, inner)
        model = Ridge if target.kind == "regression" else RidgeClassifier
        probe = model(alpha=penalty * len(x_train)).fit(x_train, target.values[outer.train])
        return probe.predict(x_test)

    return predict


def standardise(
    features: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scales features to mean 0 and standard deviation 1 on the training part; constants become 0.

    Returns:
        float64 arrays of shapes (len(train), D) and (len(test), D).
    """
    x_train = features[train].astype(np.float64)
    mean, deviation = x_train.mean(axis=0), x_train.std(axis=0)
    # A constant column's deviation is rounding error; dividing by it would amplify it to noise.
    constant = deviation <= 1e-6 * np.abs(mean)
    scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    return (x_train - mean) * scale, (features[test].astype(np.float64) - mean) * scale


class PenaltyPath:
    """Ridge predictions for many penalties at the cost of one.

    XᵀX = V diag(s) Vᵀ
    ŷ_λ = ȳ + X' V diag(1 / (s + λ n)) Vᵀ Xᵀ (y − ȳ)
    """

    def __init__(self, x_train: np.ndarray, x_test: np.ndarray) -> None:
        """Computes the eigendecomposition of X (n, D), whose columns have mean 0, for X' (m, D)."""
        eigenvalues, vectors = np.linalg.eigh(x_train.T @ x_train)
        self.eigenvalues = np.maximum(eigenvalues, 0.0)  # (D,); rounding may leave −1e-12
        self.train = x_train @ vectors  # (n, D)
        self.test = x_test @ vectors  # (m, D)

    def predict(self, y: np.ndarray, penalties: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the predictions (m, K) of targets (n, K) with each penalty λ > 0 in turn."""
        mean = y.mean(axis=0)
        moments = self.train.T @ (y - mean)  # (D, K)
        for penalty in penalties:
            shrinkage = 1.0 / (self.eigenvalues + penalty * len(y))
            yield mean + self.test @ (shrinkage[:, None] * moments)


def interpolator(
    lonlat: np.ndarray, split: Split, neighbours: int = 50
) -> Callable[[Target], np.ndarray]:
    """Label interpolation: inverse-distance weighting of the nearest labels, with weights 1/d².

    d is the great-circle distance. Classes are chosen by weighted vote.

    Args:
        lonlat: (N, 2), degrees.
        split: Rows with labels and rows to predict.
        neighbours: Number of nearest labels used.

    Returns:
        A function from a target at the N places to predictions of the test rows:
        (len(split.test),) values, or class ids.

    References:
        Shepard 1968, "A two-dimensional interpolation function for irregularly-spaced data".
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


def _choose_penalty(path: PenaltyPath, target: Target, inner: Split) -> float:
    y_train, y_test = target.values[inner.train], target.values[inner.test]
    if target.kind == "regression":
        losses = [
            np.mean((prediction[:, 0] - y_test) ** 2)
            for prediction in path.predict(y_train[:, None], PENALTIES)
        ]
    else:
        classes, codes = np.unique(y_train, return_inverse=True)
        one_hot = 2.0 * np.eye(len(classes))[codes] - 1.0  # ±1, as RidgeClassifier codes classes
        losses = [
            np.mean(classes[prediction.argmax(axis=1)] != y_test)
            for prediction in path.predict(one_hot, PENALTIES)
        ]
    # Of equal losses, the largest penalty: the smoother map.
    return float(PENALTIES[::-1][np.argmin(losses[::-1])])
