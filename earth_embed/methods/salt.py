"""SALT, Sequential Alternating Location Training (arXiv 2606.20167).

    ℓ_i = −log( exp(s·zᵢ·eᵢ) / Σⱼ exp(s·zᵢ·eⱼ) )          i, j = 1 … B,   loss = mean of ℓ_i

    i, j run over a batch of the active modality alone; z, e and s as in `pair`

One modality is active at a time: it trains with the location encoder for whole epochs of its own
data, then the next one takes its turn. The location encoder trains throughout, and so carries
what one modality taught it to the next.

The step is compiled once. It picks the active modality on the device, by `lax.cond` for two
modalities and `lax.switch` for more. Each branch updates its own towers only: idle towers and
their optimizer moments do not change by a single bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
from jax.sharding import Mesh

from earth_embed.config import Salt
from earth_embed.data.order import Draw, steps_per_epoch
from earth_embed.hashing import epoch_permutation
from earth_embed.methods.batch import sizes_alone
from earth_embed.methods.pair import pair_loss
from earth_embed.step.state import Batch, Metrics, TrainState, Updater
from earth_embed.step.towers import Towers


class SaltMethod:
    """Every batch holds samples of the active modality only."""

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
        """The schedule: the active modality and the number of its batch.

        In each round every modality has one phase, so before round r each has had r phases.
        """
        turn, offset = divmod(step, sum(self._phases.values()))
        for name in self._order(turn):
            if offset < self._phases[name]:
                return {name: Draw(turn * self._phases[name] + offset, self.sizes[name])}
            offset -= self._phases[name]
        raise AssertionError("a round's phases cover all of its steps")

    def step(self, state: TrainState, batch: Batch, update: Updater) -> tuple[TrainState, Metrics]:
        """One training step of modality number `batch["_active"]`; see `TrainingMethod.step`."""
        branches = [partial(update, loss=loss, trained=trained) for loss, trained in self._branches]
        if len(branches) == 2:
            first, second = branches
            return jax.lax.cond(batch["_active"] == 1, second, first, state, batch)
        return jax.lax.switch(batch["_active"], branches, state, batch)

    def _order(self, turn: int) -> tuple[str, ...]:
        """The modalities in their order of one round."""
        if not self._shuffled:
            return self._names
        permutation = epoch_permutation(len(self._names), self._seed, turn)
        return tuple(self._names[i] for i in permutation)
