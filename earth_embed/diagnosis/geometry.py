"""The shape of a cloud of embeddings: how it fills the sphere, and in how many dimensions.

All functions take numpy arrays and compute in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.errors import DataError


def unit(embeddings: np.ndarray) -> np.ndarray:
    """L2-normalises the rows of (N, D); float64. A zero row stays zero."""
    embeddings = np.asarray(embeddings, np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.where(lengths > 0, lengths, 1)


def alignment(samples: np.ndarray, locations: np.ndarray) -> float:
    """Mean squared distance of each sample from its own location; 0 is perfect.

        E ‖zᵢ − eᵢ‖²        z, e of unit length

    Args:
        samples: (N, D).
        locations: (N, D).

    References:
        Wang & Isola 2020 (arXiv 2005.10242), α = 2.
    """
    return float(((unit(samples) - unit(locations)) ** 2).sum(axis=1).mean())


def uniformity(embeddings: np.ndarray) -> float:
    """How evenly the embeddings fill the sphere; 0: all are one point, lower is more even.

        log E exp(−2 ‖xᵢ − xⱼ‖²)        i ≠ j, x of unit length

    Even ones in D dimensions reach about −4 + 8/D.

    Args:
        embeddings: (N, D), N ≥ 2.

    References:
        Wang & Isola 2020 (arXiv 2005.10242), t = 2.
    """
    x = unit(embeddings)
    cosines = (x @ x.T)[np.triu_indices(len(x), 1)]
    return float(np.log(np.exp(-2 * (2 - 2 * cosines)).mean()))


def effective_rank(embeddings: np.ndarray) -> float:
    """The dimensions that the embeddings really use, 1 … min(N, D).

        exp( −Σₖ pₖ log pₖ )        pₖ = σₖ / Σ σ

    with σ the singular values of the centred embeddings; 0 where all are one point.

    Args:
        embeddings: (N, D).

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
    """The dimension of the surface that the embeddings lie on, by their two nearest neighbours.

        N / Σᵢ log(r₂ᵢ / r₁ᵢ)

    with r₁, r₂ the distances to the nearest and the second nearest: the maximum of the likelihood.
    A smooth function of the place gives 2, whatever D is. More means that neighbouring places
    differ by more than their position.

    Args:
        embeddings: (N, D); rows that occur twice count once.

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
    """Share of the queries whose target is among the k most similar candidates.

    A candidate as similar as the target ranks before it: a tie is no credit.

    Args:
        queries: (N, D).
        candidates: (M, D).
        targets: (N,), the row of each query's target among the candidates.
        ks: The numbers of candidates looked at.
    """
    cosines = unit(queries) @ unit(candidates).T  # (N, M)
    own = cosines[np.arange(len(queries)), targets]
    # The sums of equal rows may round differently: as similar means to 1e-9.
    rank = (cosines >= own[:, None] - 1e-9).sum(axis=1)  # 1 is best
    return {k: float((rank <= k).mean()) for k in ks}


def nearest_place(queries: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, float]:
    """The candidate nearest to each query on the Earth, and the median distance to it.

    Args:
        queries: (N, 2), degrees.
        candidates: (M, 2), degrees.

    Returns:
        (N,) rows of `candidates`; kilometres.
    """
    chords, rows = cKDTree(unit_vector(candidates)).query(unit_vector(queries))
    angles = 2 * np.arcsin(np.clip(chords / 2, 0, 1))
    return rows, float(np.median(EARTH_RADIUS_KM * angles))


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
