"""The step on a mesh of devices, data × model, compiled once.

Batches are sharded over all devices. The state is sharded over the `model` axis and replicated
over `data` (fully sharded data parallel): a step gathers the parameters it computes with, and each
device updates the part it keeps.

The loss is exact on any number of devices. On the whole matrix it is the global loss under
`jax.jit`: XLA gathers the embeddings of negatives. In tiles it runs in `shard_map`, and the
gradient is taken outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from earth_embed.errors import ConfigError
from earth_embed.step.state import Batch, Metrics, TrainState

AXES = ("data", "model")

Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def build_mesh(model: int = 1, devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh data × model of all devices of all processes, or of those given.

    Raises:
        ConfigError: `model` does not divide the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    rows, rest = divmod(len(devices), model)
    if rest:
        raise ConfigError(
            f"mesh.model = {model}: expected a divisor of the number of devices, {len(devices)}"
        )
    axes = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((rows, model), AXES, axis_types=axes, devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch's arrays: the first axis over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def split_state(shapes: Any, mesh: Mesh, split_from: int) -> Any:
    """The sharding of each array of the state, or of its shapes.

    Arrays of `split_from` or more elements are sharded over the `model` axis along their longest
    axis that it divides; others are replicated. A parameter and its moments have the same shape and
    so the same sharding.
    """
    parts = mesh.shape["model"]

    def sharding(leaf: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(leaf.shape) if size % parts == 0]
        if parts == 1 or not axes or math.prod(leaf.shape) < split_from:
            return replicated(mesh)
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, "model"))

    return jax.tree.map(sharding, shapes)


class Share(NamedTuple):
    """The part of a batch's rows that this process holds: number `part` of `parts`."""

    part: int
    parts: int


def share_of_process(mesh: Mesh) -> Share:
    """This process's part of every batch, in the order of the mesh's devices."""
    process = jax.process_index()
    own = [i for i, device in enumerate(mesh.devices.flat) if device.process_index == process]
    assert own == list(range(own[0], own[0] + len(own))), "a process's devices are neighbours"
    return Share(own[0] // len(own), mesh.size // len(own))


def check_divisible(sizes: dict[str, int], mesh: Mesh, microbatch: int = 0) -> None:
    """Checks that every modality's part of a batch splits evenly over devices and microbatches.

    `sizes` are the samples of each modality; without a `microbatch` (0), only devices count.

    Raises:
        ConfigError: a part does not split evenly.
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


def init_sharded(init: Callable[[], TrainState], shardings: Any) -> TrainState:
    """Creates the state on its devices; it never exists whole on one device or the host."""
    return jax.jit(init, out_shardings=shardings)()


def compile_step(step: Step, mesh: Mesh, shardings: Any = None) -> jax.stages.Wrapped:
    """Jits a step for the mesh and donates the state's buffers; shardings None: replicated."""
    everywhere = replicated(mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=(shardings or everywhere, everywhere))


def gathered(params: Any, mesh: Mesh) -> Any:
    """Gathers parameters on every device for a step to compute with.

    Otherwise XLA could choose to move activations instead, which grow with the batch.
    """
    if mesh.shape["model"] == 1:
        return params
    return jax.lax.with_sharding_constraint(params, replicated(mesh))


def to_device(values: Any, sharding: NamedSharding) -> Any:
    """Puts this process's slices of global arrays on the devices."""
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), values
    )
