"""Validation on held-out places: the loss and retrieval@1 of each modality on its own."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from earth_embed.config import NtXent
from earth_embed.data.order import epoch_permutation
from earth_embed.data.sources import Source
from earth_embed.encoders.towers import Params, Towers
from earth_embed.losses.build import build_loss
from earth_embed.losses.pairs import Pairs
from earth_embed.step.parallel import gathered, replicated, to_device


class Validation:
    """A fixed set of held-out examples of each modality, the same at every call of every run.

    The loss is always the asymmetric NT-Xent within the modality, so that methods and losses
    compare. It says how well places are told apart, not how well an embedding transfers: choose by
    probes instead.
    """

    def __init__(
        self, towers: Towers, sources: Mapping[str, Source], examples: int, mesh: Mesh
    ) -> None:
        """Reads the examples once and keeps them on the device."""
        self._batches = {}
        for name, source in sources.items():
            chosen = np.sort(epoch_permutation(len(source), 0, 0)[:examples])
            self._batches[name] = to_device(source.gather(chosen), replicated(mesh))
        compare = build_loss(NtXent(), "sample_to_location", towers.experiment.memory)

        def score(params: Params, name: str, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
            params = gathered(params, mesh)
            pairs = towers.encode_pairs(params, name, batch)
            contrast = compare(Pairs(*pairs, towers.logit_scale(params, name)))
            return {"loss": contrast.loss.mean(), "retrieval@1": contrast.retrieved.mean()}

        self._score = jax.jit(score, static_argnums=1)

    def __call__(self, params: Params) -> dict[str, float]:
        """`validation_loss/NAME` and `validation_retrieval@1/NAME`, and their means."""
        scores = {name: self._score(params, name, b) for name, b in self._batches.items()}
        values = {
            f"validation_{metric}/{name}": float(value)
            for name, metrics in scores.items()
            for metric, value in metrics.items()
        }
        for metric in ("loss", "retrieval@1"):
            each = [float(metrics[metric]) for metrics in scores.values()]
            values[f"validation_{metric}"] = float(np.mean(each))
        return values
