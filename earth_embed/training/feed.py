"""Batches on the device, one step ahead of the one that trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

from earth_embed.data.pipeline import Batches
from earth_embed.data.sources import Source
from earth_embed.methods import Method
from earth_embed.step.parallel import over_batch, replicated, to_device
from earth_embed.step.state import Batch


class Fed(NamedTuple):
    """What one step gets."""

    names: tuple[str, ...]
    """The modalities that the batch holds."""
    batch: Batch
    """On the device, with an entry for every modality; see `Method.step`."""


def feed(method: Method, batches: Batches, mesh: Mesh, start: int, stop: int) -> Iterator[Fed]:
    """Yields the batches of steps start … stop − 1.

    Only the modalities that a step reads are read and transferred. The compiled step has an input
    for every modality, so an idle one is given zeros that have lain on the device since the start.
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

    ahead = fetch(start) if start < stop else None
    for step in range(start, stop):
        assert ahead is not None
        current, ahead = ahead, None
        yield current
        # The device is busy with the step just yielded: read and transfer the next one meanwhile.
        if step + 1 < stop:
            ahead = fetch(step + 1)


def example_shapes(sources: Mapping[str, Source]) -> dict[str, np.ndarray]:
    """One sample of each modality, for the towers' initialisation."""
    return {name: source.gather(np.arange(1))["sample"] for name, source in sources.items()}


def _zeros(source: Source, size: int) -> dict[str, np.ndarray]:
    one = source.gather(np.arange(1))
    return {key: np.zeros((size, *value.shape[1:]), value.dtype) for key, value in one.items()}
