"""Scores of predictions, and confidence intervals over splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, r2_score

from earth_embed.tasks.labels import Kind

HEADLINE: dict[Kind, str] = {"regression": "r2", "classification": "accuracy"}
"""The score that tables show and that is averaged over tasks."""

AHEAD, BEHIND, NO_DIFFERENCE = "ahead", "behind", "no difference seen"
"""Outcomes of a comparison."""


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its confidence interval (None for a single value)."""

    mean: float
    half_width: float | None

    @property
    def sign(self) -> int:
        """1 or −1 if the interval lies above or below 0; 0 if it holds 0 or there is none."""
        certain = self.half_width is not None and abs(self.mean) > self.half_width
        return (1 if self.mean > 0 else -1) if certain else 0

    @property
    def signed(self) -> str:
        """The interval of a difference, as text."""
        width = "" if self.half_width is None else f" ± {self.half_width:.3f}"
        return f"{self.mean:+.3f}{width}"

    def __str__(self) -> str:
        width = "" if self.half_width is None else f"±{self.half_width:.3f}"
        return f"{self.mean:.3f}{width}"


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        outcome: AHEAD, BEHIND or NO_DIFFERENCE; None for a single split, which has no interval.
        difference: First minus second.
    """

    outcome: str | None
    difference: Interval


def score(kind: Kind, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Scores predictions (N,) of values or of class ids.

    Returns:
        "r2", 1 − residual variance / variance; or "accuracy" and "macro_f1", the unweighted mean of
        F1 over the classes in `truth` or `prediction`. Also "guess", what the best constant
        prediction would get: R² 0, or the share of the most frequent class.
    """
    if kind == "regression":
        return {"r2": float(r2_score(truth, prediction)), "guess": 0.0}
    return {
        "accuracy": float(accuracy_score(truth, prediction)),
        "macro_f1": float(f1_score(truth, prediction, average="macro", zero_division=0.0)),
        "guess": float(np.unique(truth, return_counts=True)[1].max() / len(truth)),
    }


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean of scores (n,), one per split, with Student's t interval: mean ± t · s / √n.

    The splits share most of their places, so their scores are not independent and the interval is
    somewhat too narrow (Nadeau & Bengio 2003); compare features by `paired_difference`.
    """
    array = np.asarray(values, np.float64)
    if array.size < 2:
        return Interval(float(array.mean()), None)
    t = stats.t.ppf((1 + confidence) / 2, array.size - 1)
    return Interval(float(array.mean()), float(t * array.std(ddof=1) / np.sqrt(array.size)))


def paired_difference(first: ArrayLike, second: ArrayLike) -> Interval:
    """Mean of first − second (n,) over the same splits: the difficulty of a split cancels."""
    return mean_interval(np.asarray(first, np.float64) - np.asarray(second, np.float64))


def compare(first: np.ndarray, second: np.ndarray, guess: np.ndarray) -> Comparison:
    """Whether the first is ahead of the second or behind it.

    It is, if the interval of the paired difference excludes 0 and the better of the two beats a
    constant guess by the same measure. Where nothing can be predicted one of them overfits more
    than the other, which is no merit of either.

    Args:
        first: (n,) scores, one per split.
        second: (n,) scores on the same splits.
        guess: (n,) scores of the best constant guess on the same splits.
    """
    difference = paired_difference(first, second)
    if difference.half_width is None:
        return Comparison(None, difference)
    better, outcome = (first, AHEAD) if difference.mean > 0 else (second, BEHIND)
    seen = difference.sign != 0 and paired_difference(better, guess).sign > 0
    return Comparison(outcome if seen else NO_DIFFERENCE, difference)
