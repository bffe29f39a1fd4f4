"""What a training method is: which examples a step reads, and what it does with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jax.sharding import Mesh

from earth_embed.config import Experiment
from earth_embed.data.order import Draw
from earth_embed.step.state import Batch, Metrics, TrainState, Updater


class Method(Protocol):
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


def sizes_alone(experiment: Experiment, counts: Mapping[str, int], mesh: Mesh) -> dict[str, int]:
    """Samples of each modality in a batch of its own: batch_size, or all of its examples.

    All of them but for a rest that cannot be shared by the devices, or split into microbatches.
    """
    names = [modality.name for modality in experiment.modalities]
    if isinstance(experiment.batch_size, int):
        return dict.fromkeys(names, experiment.batch_size)
    unit = experiment.memory.microbatch or mesh.size
    return {name: max(counts[name] // unit, 1) * unit for name in names}
