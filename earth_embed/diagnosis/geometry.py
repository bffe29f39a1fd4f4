"""Geometry of a set of embeddings: spread, dimension, retrieval and spatial scale.

All functions take numpy arrays and compute in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.errors import DataError

EDGES_KM = np.array([0, 50, 100, 200, 350, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000])
"""Lower edges of the distance classes; the last class has no upper edge."""

FAR_KM = 5000.0
"""Distance beyond which two places count as unrelated; their similarity is the sill."""


@dataclass(frozen=True)
class Curve:
    """Mean similarity of pairs of places, by class of distance."""

    km: list[float]
    """Mean distance of the pairs in each class."""
    cosine: list[float]
    """Mean cosine similarity in each class."""
    pairs: list[int]
    """Number of pairs in each class."""
    half_sill_km: float | None
    """Distance at which the semivariogram reaches half of its sill; None if it never does."""


def alignment(samples: np.ndarray, locations: np.ndarray) -> float:
    """Mean squared distance between each sample (N, D) and its own location (N, D); 0 is perfect.

        E ‖zᵢ − eᵢ‖²        z, e of unit length

    References:
        Wang & Isola 2020 (arXiv 2005.10242), α = 2.
    """
    return float(((_unit(samples) - _unit(locations)) ** 2).sum(axis=1).mean())


def uniformity(embeddings: np.ndarray) -> float:
    """How evenly N ≥ 2 embeddings (N, D) fill the sphere: 0 if all coincide, lower is more even.

        log E exp(−2 ‖xᵢ − xⱼ‖²)        i ≠ j, x of unit length

    A uniform distribution in D dimensions reaches about −4 + 8/D.

    References:
        Wang & Isola 2020 (arXiv 2005.10242), t = 2.
    """
    x = _unit(embeddings)
    cosines = (x @ x.T)[np.triu_indices(len(x), 1)]
    return float(np.log(np.exp(-2 * (2 - 2 * cosines)).mean()))


def effective_rank(embeddings: np.ndarray) -> float:
    """Number of dimensions that embeddings (N, D) use, 1 … min(N, D); 0 if all of them coincide.

        exp( −Σₖ pₖ log pₖ )        pₖ = σₖ / Σ σ

    with σ the singular values of the centred embeddings.

    References:
        Roy & Vetterli 2007, "The effective rank".
    """
    x = np.asarray(embeddings, np.float64)
    sigma = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    if sigma[0] <= 1e-12 * np.abs(x).max():
        return 0.0
    p = sigma[sigma > 0] / sigma.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def intrinsic_dimension(embeddings: np.ndarray) -> float:
    """Dimension of the surface that embeddings (N, D) lie on, from their two nearest neighbours.

        N / Σᵢ log(r₂ᵢ / r₁ᵢ)

    the maximum-likelihood estimate, with r₁ and r₂ the distances to the nearest and second nearest
    neighbour. A smooth function of location gives 2, whatever D is; more means that neighbouring
    places differ by more than their position. Duplicate rows count once.

    Raises:
        DataError: fewer than three distinct rows.

    References:
        Facco et al. 2017, "Estimating the intrinsic dimension of datasets by a minimal neighborhood
        information" (TwoNN).
    """
    x = np.unique(np.asarray(embeddings, np.float64), axis=0)
    if len(x) < 3:
        raise DataError(f"an intrinsic dimension needs 3 distinct embeddings, found {len(x)}")
    distances, _ = cKDTree(x).query(x, k=3)
    ratios = np.log(distances[:, 2] / distances[:, 1])
    return float(len(x) / ratios.sum()) if ratios.sum() > 0 else float("inf")


def retrieval(
    queries: np.ndarray, candidates: np.ndarray, targets: np.ndarray, ks: tuple[int, ...]
) -> dict[int, float]:
    """Share of queries (N, D) whose target is among the k most similar candidates (M, D), by k.

    A candidate as similar as the target ranks before it: ties earn no credit. `targets` (N,) are
    rows of the candidates.
    """
    cosines = _unit(queries) @ _unit(candidates).T  # (N, M)
    own = cosines[np.arange(len(queries)), targets]
    # Sums over equal rows may round differently, so a tie is equality to 1e-9.
    rank = (cosines >= own[:, None] - 1e-9).sum(axis=1)  # 1 is best
    return {k: float((rank <= k).mean()) for k in ks}


def nearest_place(queries: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, float]:
    """The row of the candidate nearest to each query on the Earth, and the median distance in km.

    Places are in degrees, (M, 2) and (N, 2); the rows are (N,).
    """
    chords, rows = cKDTree(unit_vector(candidates)).query(unit_vector(queries))
    return rows, float(np.median(_great_circle_km(chords)))


def similarity_by_distance(lonlat: np.ndarray, embeddings: np.ndarray) -> Curve:
    """Cosine similarity of pairs of places, by class of great-circle distance.

    The semivariogram is γ(d) = 1 − mean cosine at distance d. Its sill is γ of the pairs more than
    5,000 km apart. The half-sill distance is where γ first reaches half of the sill, interpolated
    linearly between the classes and from γ(0) = 0. Classes without a pair are left out.

    Args:
        lonlat: (N, 2), degrees.
        embeddings: (N, D).
    """
    upper = np.triu_indices(len(lonlat), 1)
    points = unit_vector(lonlat)
    km = _great_circle_km(np.linalg.norm(points[upper[0]] - points[upper[1]], axis=1))
    x = _unit(embeddings)
    cosines = (x @ x.T)[upper]
    classes = np.digitize(km, EDGES_KM[1:])
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


def _unit(embeddings: np.ndarray) -> np.ndarray:
    """L2-normalises the rows of (N, D) in float64; a zero row stays zero."""
    embeddings = np.asarray(embeddings, np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.where(lengths > 0, lengths, 1)


def _great_circle_km(chords: np.ndarray) -> np.ndarray:
    """Distance along the Earth's surface from the chord between two points of the unit sphere."""
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chords / 2, 0, 1))
