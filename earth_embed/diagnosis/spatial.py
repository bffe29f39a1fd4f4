"""Similarity against distance: how far a place's embedding resembles those around it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.diagnosis.geometry import unit

EDGES_KM = np.array([0, 50, 100, 200, 350, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000])
FAR_KM = 5000.0
"""Pairs farther apart than this say what unrelated places have in common."""


class Curve(NamedTuple):
    """Mean similarity by distance."""

    km: list[float]
    """Mean distance of the pairs of each class."""
    cosine: list[float]
    """Mean cosine similarity of each class."""
    pairs: list[int]
    """Pairs in each class."""
    half_sill_km: float | None
    """Where the semivariogram reaches half of its sill; None: not within the classes."""


def similarity_by_distance(lonlat: np.ndarray, embeddings: np.ndarray) -> Curve:
    """The cosine of pairs of places, in classes of great-circle distance.

    The semivariogram is γ(d) = 1 − mean cosine at d; its sill is γ of the pairs farther apart than
    5,000 km, and its half-sill distance is where γ first reaches half of that, by interpolation
    between the classes (and from γ(0) = 0).

    Args:
        lonlat: (N, 2), degrees.
        embeddings: (N, D).

    Returns:
        The classes that hold a pair.
    """
    upper = np.triu_indices(len(lonlat), 1)
    points = unit_vector(lonlat)
    chords = np.linalg.norm(points[upper[0]] - points[upper[1]], axis=1)
    km = 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chords / 2, 0, 1))
    x = unit(embeddings)
    cosines = (x @ x.T)[upper]
    classes = np.digitize(km, EDGES_KM[1:])  # the last one is open
    held = [c for c in range(len(EDGES_KM)) if (classes == c).any()]
    mean_km = [float(km[classes == c].mean()) for c in held]
    mean_cosine = [float(cosines[classes == c].mean()) for c in held]
    return Curve(
        mean_km,
        mean_cosine,
        [int((classes == c).sum()) for c in held],
        _half_sill(mean_km, mean_cosine, cosines[km > FAR_KM]),
    )


def _half_sill(km: list[float], cosine: list[float], far: np.ndarray) -> float | None:
    if not len(far):
        return None
    half = (1 - far.mean()) / 2
    distances, gammas = [0.0, *km], [0.0, *(1 - c for c in cosine)]
    for i in range(1, len(gammas)):
        if gammas[i] >= half > gammas[i - 1]:
            share = (half - gammas[i - 1]) / (gammas[i] - gammas[i - 1])
            return float(distances[i - 1] + share * (distances[i] - distances[i - 1]))
    return None
