"""SALT, Sequential Alternating Location Training (arXiv 2606.20167).

One modality–location pair is active at a time, switched at its epoch boundaries; the location
encoder trains throughout. It is one compiled step: the pair is chosen on the device, by `lax.cond`
for two pairs and `lax.switch` for more. Each branch trains its own towers, so that an idle tower
and its optimiser's moments do not move by one bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh

from earth_embed.config import Salt
from earth_embed.data.order import Draw, steps_per_epoch
from earth_embed.hashing import mix64
from earth_embed.methods.batch import sizes_alone
from earth_embed.methods.pair import pair_loss
from earth_embed.step.state import Batch, Metrics, TrainState, Updater
from earth_embed.step.towers import Towers


class SaltMethod:
    """Every batch holds samples of the active modality alone."""

    def __init__(self, towers: Towers, counts: Mapping[str, int], mesh: Mesh) -> None:
        """Binds the method to an experiment's towers; see `build_method`.

        The counts set the length of each modality's epochs.
        """
        settings = towers.experiment.method
        assert isinstance(settings, Salt)
        self._names, self._seed = towers.names, towers.experiment.seed
        self.sizes = sizes_alone(towers.experiment, counts, mesh)
        self._shuffled = settings.order == "shuffled"
        self._phases = {
            name: settings.phase_epochs * steps_per_epoch(counts[name], self.sizes[name])
            for name in towers.names
        }
        self._branches = [
            (pair_loss(towers, name, settings.direction, mesh), towers.trained((name,)))
            for name in towers.names
        ]

    def draws(self, step: int) -> dict[str, Draw]:
        """The active modality and its own count of batches: the schedule.

        A round gives every modality one phase, so each has had `round` phases before this round.
        """
        turn, offset = divmod(step, sum(self._phases.values()))
        for name in self._order(turn):
            if offset < self._phases[name]:
                return {name: Draw(turn * self._phases[name] + offset, self.sizes[name])}
            offset -= self._phases[name]
        raise AssertionError("a round's phases cover all of its steps")

    def step(self, state: TrainState, batch: Batch, update: Updater) -> tuple[TrainState, Metrics]:
        """One pure training step; see `Method.step`. `batch["_active"]` indexes the modalities."""
        branches = [partial(update, loss=loss, trained=trained) for loss, trained in self._branches]
        if len(branches) == 2:
            first, second = branches
            return jax.lax.cond(batch["_active"] == 1, second, first, state, batch)
        return jax.lax.switch(batch["_active"], branches, state, batch)

    def _order(self, turn: int) -> tuple[str, ...]:
        """The modalities' order in one round, hashed from (seed, round) if shuffled."""
        if not self._shuffled:
            return self._names
        key = mix64(mix64(np.array([self._seed], np.uint64)) ^ np.uint64(turn))
        ranks = mix64(np.arange(len(self._names), dtype=np.uint64) ^ key)
        return tuple(self._names[i] for i in np.argsort(ranks, kind="stable"))
