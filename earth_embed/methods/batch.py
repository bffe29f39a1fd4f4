"""What a training method is: which examples a step reads, and what it does with them."""

from __future__ import annotations

from collections.abc import Mapping

from jax.sharding import Mesh

from earth_embed.config import Experiment, Melt


def sizes_alone(experiment: Experiment, counts: Mapping[str, int], mesh: Mesh) -> dict[str, int]:
    """Samples of each modality in a batch of its own: batch_size, or all of its examples.

    All of them but for a rest that cannot be shared by the devices, or split into microbatches.
    """
    names = [modality.name for modality in experiment.modalities]
    if isinstance(experiment.batch_size, int):
        return dict.fromkeys(names, experiment.batch_size)
    unit = experiment.memory.microbatch or mesh.size
    return {name: max(counts[name] // unit, 1) * unit for name in names}


def quotas(experiment: Experiment) -> dict[str, int]:
    """Each modality's samples in a joint batch: as set, or equal shares of it."""
    settings, size = experiment.method, experiment.batch_size
    assert isinstance(settings, Melt)
    assert isinstance(size, int)
    names = [modality.name for modality in experiment.modalities]
    share, rest = divmod(size, len(names))
    counts = settings.quotas or [share + (i < rest) for i in range(len(names))]
    return dict(zip(names, counts, strict=True))
