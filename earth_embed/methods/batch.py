"""How many samples of each modality a batch holds, and where they lie in a joint batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from earth_embed.config import Experiment, Melt


def sizes_alone(experiment: Experiment, counts: Mapping[str, int], mesh: Mesh) -> dict[str, int]:
    """Samples of each modality in a batch of its own: `batch_size`, or all of its examples.

    "All" is rounded down to what the devices, or the microbatches, can share evenly.
    """
    names = [modality.name for modality in experiment.modalities]
    if isinstance(experiment.batch_size, int):
        return dict.fromkeys(names, experiment.batch_size)
    unit = experiment.memory.microbatch or mesh.size
    return {name: max(counts[name] // unit, 1) * unit for name in names}


def quotas(experiment: Experiment) -> dict[str, int]:
    """Samples of each modality in a joint batch: `method.quotas`, or equal shares."""
    settings, size = experiment.method, experiment.batch_size
    assert isinstance(settings, Melt)
    assert isinstance(size, int)
    names = [modality.name for modality in experiment.modalities]
    share, rest = divmod(size, len(names))
    counts = settings.quotas or [share + (i < rest) for i in range(len(names))]
    return dict(zip(names, counts, strict=True))


class JointBatch:
    """The order of a joint batch's rows: small equal blocks, each with a share of every modality.

    Sizes 4 and 2, for example, make two blocks with shares 2 and 1:

        rows      a a b   a a b
        groups    0 0 1   0 0 1

    Each modality's rows are split over all devices. In this order every device's rows are whole
    blocks too, so joining and splitting move nothing between devices. (One modality after the
    other, nearly all rows would have to move.)

    Attributes:
        groups: (B,) the index of each row's modality.
        shares: Rows of each modality in one block.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        """Lays out `sizes[m]` rows of each modality m, in as many blocks as possible."""
        self._blocks = math.gcd(*sizes)
        self.shares = [size // self._blocks for size in sizes]
        self.groups = np.tile(np.repeat(np.arange(len(sizes)), self.shares), self._blocks)

    def join(self, parts: Sequence[jax.Array]) -> jax.Array:
        """Interleaves the modalities' rows: (B_m, n_m) of each m → (B, max n_m).

        Narrower parts are padded with zeros, which change neither the cosine nor the distance of
        two padded vectors.
        """
        width = max(part.shape[1] for part in parts)
        padded = [jnp.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
        blocks = [part.reshape(self._blocks, -1, width) for part in padded]
        return jnp.concatenate(blocks, axis=1).reshape(-1, width)

    def split(self, joint: jax.Array) -> list[jax.Array]:
        """Takes the modalities' rows apart again: (B, …) → (B_m, …) of each m."""
        rest = joint.shape[1:]
        blocks = joint.reshape(self._blocks, -1, *rest)
        parts = jnp.split(blocks, np.cumsum(self.shares)[:-1], axis=1)
        return [part.reshape(-1, *rest) for part in parts]
