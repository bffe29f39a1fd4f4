"""Examples of a run, encoded by all of its towers."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from earth_embed.data.order import epoch_permutation
from earth_embed.data.sources import Examples, Source
from earth_embed.encoders.towers import Params, Towers
from earth_embed.step.state import Batch


class Encoded(NamedTuple):
    """Both sides of one modality's examples."""

    samples: np.ndarray
    """(N, n) float32."""
    candidates: np.ndarray
    """(N, n) float32: what samples are compared with, as `Towers.meet` has it."""
    locations: np.ndarray
    """(N, D) float32: the location embeddings."""
    lonlat: np.ndarray
    """(N, 2) float32, degrees."""


def draw(source: Source, count: int, seed: int, start: int = 0) -> Examples:
    """Up to `count` examples, in a seeded order from `start` on; fewer where the source ends."""
    rows = epoch_permutation(len(source), seed, 0)[start : start + count]
    return source.gather(np.sort(rows))


class Encoder:
    """Encodes examples with a run's towers, compiled once for each modality and size."""

    def __init__(self, towers: Towers, params: Params) -> None:
        """Takes the towers and their parameters."""
        self.towers, self.params = towers, params

        def both(params: Params, name: str, examples: Batch) -> tuple[jax.Array, ...]:
            samples = towers.encode_sample(params, name, examples["sample"])
            locations = towers.encode_location(params, examples["lonlat"])
            return samples, towers.meet(params, name, samples, locations), locations

        self._both = jax.jit(both, static_argnums=1)

    def __call__(self, name: str, examples: Examples) -> Encoded:
        """Encodes one modality's examples."""
        samples, candidates, locations = jax.device_get(self._both(self.params, name, examples))
        return Encoded(samples, candidates, locations, examples["lonlat"])

    def scale(self, name: str) -> float:
        """The modality's logit scale 1/τ."""
        return float(self.towers.logit_scale(self.params, name))
