"""The features beside every run: what its coordinates, its harmonics and its network give free."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from earth_embed.coordinates import unit_vector
from earth_embed.encoders.spherical_harmonics import spherical_harmonics
from earth_embed.pretrained import untrained


def baselines(run: str | Path, degree: int, lonlat: np.ndarray) -> dict[str, np.ndarray]:
    """Features that need no training.

    Args:
        run: Directory of the run.
        degree: The run's number L of spherical-harmonic degrees.
        lonlat: (N, 2), degrees.

    Returns:
        Name → (N, D) float32: the unit vector, the L² raw spherical harmonics of the run's own L,
        and the run's location encoder as it was before training.
    """
    harmonics = spherical_harmonics(jnp.asarray(lonlat, jnp.float32), degree)
    return {
        "unit vector": unit_vector(lonlat).astype(np.float32),
        f"harmonics L={degree}": np.asarray(harmonics),
        "untrained encoder": np.asarray(untrained(run)(lonlat)),
    }
