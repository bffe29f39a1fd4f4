"""What the loop puts on the device: the next training batch, and the validation examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from earth_embed.config import NtXent
from earth_embed.data.pipeline import Batches
from earth_embed.data.sources import Source
from earth_embed.hashing import epoch_permutation
from earth_embed.losses.build import build_loss
from earth_embed.losses.pairs import Pairs
from earth_embed.methods import TrainingMethod
from earth_embed.progress import phase
from earth_embed.step.mesh import gathered, over_batch, replicated, to_device
from earth_embed.step.state import Batch
from earth_embed.step.towers import Params, Towers


class Fed(NamedTuple):
    """The input of one step."""

    names: tuple[str, ...]
    """The modalities that the step trains on."""
    batch: Batch
    """On the device, with an entry for every modality; see `TrainingMethod.step`."""


def feed(
    method: TrainingMethod, batches: Batches, mesh: Mesh, start: int, stop: int
) -> Iterator[Fed]:
    """Yields the batches of steps start … stop − 1, each transferred during the step before it.

    The compiled step has an input for every modality. Only the modalities that a step trains on
    are read and transferred; the others get zeros that stay on the device.
    """
    sources = {name: batches.sources[name] for name in method.sizes}
    idle = {
        name: to_device(_zeros(source, method.sizes[name] // batches.parts), over_batch(mesh))
        for name, source in sources.items()
    }
    order = list(method.sizes)

    def fetch(step: int) -> Fed:
        draws = method.draws(step)
        examples = to_device(batches.read(draws), over_batch(mesh))
        active = to_device(np.int32(order.index(next(iter(draws)))), replicated(mesh))
        return Fed(tuple(draws), {**idle, **examples, "_active": active})

    with phase("reading the first batch"):
        ahead = fetch(start) if start < stop else None
    for step in range(start, stop):
        assert ahead is not None
        current, ahead = ahead, None
        yield current
        # Read and transfer the next batch while the device computes the step just yielded.
        if step + 1 < stop:
            ahead = fetch(step + 1)


def one_sample_each(sources: Mapping[str, Source]) -> dict[str, np.ndarray]:
    """One sample of each modality, for the towers' initialisation."""
    return {name: source.gather(np.arange(1))["sample"] for name, source in sources.items()}


class Validation:
    """Scores on a fixed set of held-out examples of each modality, the same in every run.

    The loss is always the asymmetric NT-Xent within the modality, so that methods and losses can
    be compared. It measures how well places are told apart, not how well an embedding transfers:
    choose settings by probes instead.
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


def _zeros(source: Source, size: int) -> dict[str, np.ndarray]:
    one = source.gather(np.arange(1))
    return {key: np.zeros((size, *value.shape[1:]), value.dtype) for key, value in one.items()}
