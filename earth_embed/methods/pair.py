"""Pair: one modality and its locations, as in SatCLIP (arXiv 2311.17179) and GeoCLIP.

    ℓ_i = −log( exp(s·zᵢ·eᵢ) / Σⱼ exp(s·zᵢ·eⱼ) )          i, j = 1 … B,   loss = mean of ℓ_i

    zᵢ   embedding of sample i by the modality's encoder, of unit length
    eⱼ   embedding of location j by the location encoder, of unit length
    s    the learnable logit scale 1/τ

Sample i must pick its own location out of the batch's B locations. This is asymmetric NT-Xent, the
default; `Experiment.loss` and the method's `direction` select other losses.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
from jax.sharding import Mesh

from earth_embed.config import Pair
from earth_embed.config.objective import Direction
from earth_embed.data.order import Draw
from earth_embed.hashing import step_key
from earth_embed.losses.build import build_loss
from earth_embed.losses.pairs import Pairs
from earth_embed.methods.batch import sizes_alone
from earth_embed.step.state import Batch, LossFunction, Metrics, TrainState, Updater
from earth_embed.step.towers import Params, Towers


class PairMethod:
    """Every batch holds samples of the one modality."""

    def __init__(self, towers: Towers, counts: Mapping[str, int], mesh: Mesh) -> None:
        """Binds the method to an experiment's towers; see `build_method`."""
        settings = towers.experiment.method
        assert isinstance(settings, Pair)
        (self._name,) = towers.names
        self.sizes = sizes_alone(towers.experiment, counts, mesh)
        self._loss = pair_loss(towers, self._name, settings.direction, mesh)
        self._trained = towers.trained(towers.names)

    def draws(self, step: int) -> dict[str, Draw]:
        """The one modality, every step."""
        return {self._name: Draw(step, self.sizes[self._name])}

    def step(self, state: TrainState, batch: Batch, update: Updater) -> tuple[TrainState, Metrics]:
        """One training step; see `TrainingMethod.step`."""
        return update(state, batch, self._loss, self._trained)


def pair_loss(towers: Towers, name: str, direction: Direction, mesh: Mesh) -> LossFunction:
    """The mean of ℓ_i over a batch of one modality."""
    losses = build_loss(towers.experiment.loss, direction, towers.experiment.memory, mesh)

    def loss(params: Params, batch: Batch, step: jax.Array) -> tuple[jax.Array, Metrics]:
        dropout_key = step_key(towers.experiment.seed, "dropout", step)
        z, e = towers.encode_pairs(params, name, batch[name], dropout_key)  # (B, D) each
        s = towers.logit_scale(params, name)
        b = towers.logit_bias(params, name)
        each = losses(Pairs(z, e, s, b, lonlat=batch[name]["lonlat"]))  # ℓ_i, (B,)
        metrics = {"retrieval@1": each.retrieved.mean()[None], "logit_scale": s[None]}
        return each.loss.mean(), metrics

    return loss
