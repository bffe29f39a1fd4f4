"""The step on a mesh: state replicated, batches split over the `data` axis, compiled once.

A loss on the whole matrix is the global one under `jax.jit`: XLA gathers the embeddings that
negatives need. A tiled one runs in `shard_map`, and the gradient is taken outside of it. Either way
it is exact on any number of devices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from earth_embed.errors import ConfigError
from earth_embed.step.state import Batch, Metrics, TrainState

Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def data_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """All devices (or those given) along one `data` axis."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of the state and of scalars."""
    return NamedSharding(mesh, PartitionSpec())


def over_data(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch's arrays: their first axis over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_divisible(sizes: dict[str, int], mesh: Mesh, microbatch: int = 0) -> None:
    """Checks that the devices can share every modality's part of a batch, and its microbatches.

    Args:
        sizes: Samples of each modality in a batch.
        mesh: The devices.
        microbatch: Samples in a microbatch; 0: the whole batch.

    Raises:
        ConfigError: one cannot be split evenly.
    """
    if microbatch % mesh.size:
        raise ConfigError(
            f"memory.microbatch = {microbatch}: expected a multiple of the number of devices, "
            f"{mesh.size}"
        )
    unit = microbatch or mesh.size
    uneven = {name: size for name, size in sizes.items() if size % unit}
    if uneven:
        what = "memory.microbatch" if microbatch else "the number of devices"
        raise ConfigError(f"samples in a batch {uneven}: expected multiples of {what}, {unit}")


def init_sharded(init: Callable[[], TrainState], mesh: Mesh) -> TrainState:
    """Creates the state where it will live; it never exists on one device or the host first."""
    return jax.jit(init, out_shardings=replicated(mesh))()


def compile_step(step: Step, mesh: Mesh) -> Step:
    """Jits a step once for the mesh; the state's buffers are donated."""
    return jax.jit(step, donate_argnums=0, out_shardings=replicated(mesh))


def to_device(values: Any, sharding: NamedSharding) -> Any:
    """Places this process's slices of global arrays on the devices."""
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), values
    )
