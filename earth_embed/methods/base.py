"""What a training method is: which examples a step reads, and what it does with them."""

from __future__ import annotations

from typing import Protocol

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
            The state after it, and metrics: "loss" (scalar), and "retrieval@1" and "logit_scale"
            with one value for each modality that `draws` names, in its order.
        """
        ...
