"""The three training methods, one file each, to be read beside the paper.

A method says which examples a step reads and what their loss is. The layout of a joint batch is in
`batch`; towers, the update and devices are in `step/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jax.sharding import Mesh

from earth_embed.config import Melt, Pair
from earth_embed.data.order import Draw
from earth_embed.methods.melt import MeltMethod
from earth_embed.methods.pair import PairMethod
from earth_embed.methods.salt import SaltMethod
from earth_embed.step.state import Batch, Metrics, TrainState, Updater
from earth_embed.step.towers import Towers


class TrainingMethod(Protocol):
    """The interface of `PairMethod`, `MeltMethod` and `SaltMethod`."""

    sizes: dict[str, int]
    """Samples of each modality in a batch that contains it."""

    def draws(self, step: int) -> dict[str, Draw]:
        """The modalities that a step reads, in order: a pure function of the step and the seed."""
        ...

    def step(self, state: TrainState, batch: Batch, update: Updater) -> tuple[TrainState, Metrics]:
        """One training step, a pure function.

        Args:
            state: The state before the step.
            batch: {NAME: {"sample": (B, ...), "lonlat": (B, 2)}, …, "_active": int32 scalar},
                with an entry for every modality. Entries that `draws` does not name are ignored.
            update: Applies the gradient of a loss to the towers that it trains.

        Returns:
            The state after the step and its metrics: the scalars "loss" and "gradient_norm", and
            "retrieval@1" and "logit_scale" with one value per modality that `draws` names, in its
            order.
        """
        ...


def build_method(towers: Towers, counts: Mapping[str, int], mesh: Mesh) -> TrainingMethod:
    """Builds the experiment's method, for `counts` training examples of each modality."""
    settings = towers.experiment.method
    if isinstance(settings, Pair):
        return PairMethod(towers, counts, mesh)
    if isinstance(settings, Melt):
        return MeltMethod(towers, counts, mesh)
    return SaltMethod(towers, counts, mesh)
