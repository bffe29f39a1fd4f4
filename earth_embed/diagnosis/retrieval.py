"""What finds what: samples and locations, and modalities that only the location encoder ties."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.diagnosis.geometry import unit


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
