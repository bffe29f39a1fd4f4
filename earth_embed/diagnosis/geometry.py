"""The shape of a cloud of embeddings: how it fills the sphere, and in how many dimensions.

All functions take numpy arrays and compute in float64.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

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
