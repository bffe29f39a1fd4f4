"""The three training methods, one file each."""

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
    """One of `pair`, `melt`, `salt`."""

    sizes: dict[str, int]
    """Samples of each modality in a batch that reads it."""

    def draws(self, step: int) -> dict[str, Draw]:
        """The modalities that a step reads, in order: a pure function of (seed, step)."""
        ...

    def step(self, state: TrainState, batch: Batch, update: Updater) -> tuple[TrainState, Metrics]:
        """One pure training step.

        Args:
            state: The state before it.
            batch: {NAME: {"sample": (B, ...), "lonlat": (B, 2)}, …, "_active": int32 scalar},
                with an entry for every modality; entries that `draws` does not name are ignored.
            update: Applies the gradient of a loss to the towers it trains.

        Returns:
            The state after it, and metrics: "loss" and "gradient_norm" (scalars), and "retrieval@1"
            and "logit_scale" with one value for each modality that `draws` names, in its order.
        """
        ...


def build_method(towers: Towers, counts: Mapping[str, int], mesh: Mesh) -> TrainingMethod:
    """The experiment's method.

    Args:
        towers: The experiment's towers.
        counts: Training examples of each modality.
        mesh: The devices that share a batch.
    """
    settings = towers.experiment.method
    if isinstance(settings, Pair):
        return PairMethod(towers, counts, mesh)
    if isinstance(settings, Melt):
        return MeltMethod(towers, counts, mesh)
    return SaltMethod(towers, counts, mesh)
