"""Pair: one modality and its locations, as in SatCLIP (arXiv 2311.17179) and GeoCLIP."""

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
        """One pure training step; see `Method.step`."""
        return update(state, batch, self._loss, self._trained)


def pair_loss(towers: Towers, name: str, direction: Direction, mesh: Mesh) -> LossFunction:
    """The mean loss of one modality's samples against their own batch of locations."""
    compare = build_loss(towers.experiment.loss, direction, towers.experiment.memory, mesh)

    def loss(params: Params, batch: Batch, step: jax.Array) -> tuple[jax.Array, Metrics]:
        examples = batch[name]
        dropout_key = step_key(towers.experiment.seed, "dropout", step)
        samples, candidates = towers.encode_pairs(params, name, examples, dropout_key)
        scale = towers.logit_scale(params, name)
        contrast = compare(
            Pairs(
                samples,
                candidates,
                logit_scale=scale,
                logit_bias=towers.logit_bias(params, name),
                lonlat=examples["lonlat"],
            )
        )
        return contrast.loss.mean(), {
            "retrieval@1": contrast.retrieved.mean()[None],
            "logit_scale": scale[None],
        }

    return loss
