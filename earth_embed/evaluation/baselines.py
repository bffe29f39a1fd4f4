"""The features beside every run: what its coordinates, its harmonics and its network give free."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from earth_embed.config.location import harmonics_in
from earth_embed.coordinates import unit_vector
from earth_embed.encoders.harmonics import spherical_harmonics
from earth_embed.pretrained import untrained

USUAL_DEGREE, MOST_DEGREES = 15, 40
"""L beside an encoder without harmonics, and the most: L² features must fit a ridge regression."""


def baselines(run: str | Path, lonlat: np.ndarray) -> dict[str, np.ndarray]:
    """Features that need no training.

    Args:
        run: Directory of the run.
        lonlat: (N, 2), degrees.

    Returns:
        Name → (N, D) float32: the unit vector, the L² raw spherical harmonics of the run's own L
        (at most 40, and 15 where the run's encoder has no harmonics), and the run's location
        encoder as it was before training.
    """
    start = untrained(run)
    own = [harmonics.degree for harmonics in harmonics_in(start.experiment.location)]
    degree = min(max(own, default=USUAL_DEGREE), MOST_DEGREES)
    harmonics = spherical_harmonics(jnp.asarray(lonlat, jnp.float32), degree)
    return {
        "unit vector": unit_vector(lonlat).astype(np.float32),
        f"harmonics L={degree}": np.asarray(harmonics),
        "untrained encoder": np.asarray(start(lonlat)),
    }
