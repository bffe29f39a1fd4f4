"""The step on a mesh of devices, data × model, compiled once.

A batch is split over all devices. The state has one copy in each row of the `model` axis, split
over the devices of that row (fully sharded data parallel): a step gathers the parameters it
computes with, and each device updates the part that it keeps.

A loss on the whole matrix is the global one under `jax.jit`: XLA gathers the embeddings that
negatives need. A tiled one runs in `shard_map`, and the gradient is taken outside of it. Either way
it is exact on any number of devices.
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
    """All devices of all processes (or those given) as a mesh data × model.

    Raises:
        ConfigError: `model` does not divide their number.
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
    """The sharding of scalars, and of whatever every device has whole."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch's arrays: their first axis over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def split_state(shapes: Any, mesh: Mesh, split_from: int) -> Any:
    """The sharding of each of the state's arrays.

    An array of at least `split_from` numbers is split along the longest of its axes that the
    `model` axis divides. A parameter and its moments have one shape, and so one sharding.

    Args:
        shapes: The state, or its shapes.
        mesh: The devices.
        split_from: Numbers of the smallest array that is split.
        settings: From which size arrays are split.
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
    """Which part of a batch's rows this process holds."""

    part: int
    parts: int


def share_of_process(mesh: Mesh) -> Share:
    """This process's part of every batch, in the order of the mesh's devices."""
    process = jax.process_index()
    own = [i for i, device in enumerate(mesh.devices.flat) if device.process_index == process]
    assert own == list(range(own[0], own[0] + len(own))), "a process's devices are neighbours"
    return Share(own[0] // len(own), mesh.size // len(own))


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


def init_sharded(init: Callable[[], TrainState], shardings: Any) -> TrainState:
    """Creates the state where it will live; it never exists on one device or the host first."""
    return jax.jit(init, out_shardings=shardings)()


def compile_step(step: Step, mesh: Mesh, shardings: Any = None) -> jax.stages.Wrapped:
    """Jits a step once for the mesh; the state's buffers are donated.

    Args:
        step: The step.
        mesh: The devices.
        shardings: The state's, before and after. None: every device has all of it.
    """
    everywhere = replicated(mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=(shardings or everywhere, everywhere))


def gathered(params: Any, mesh: Mesh) -> Any:
    """Parameters whole on every device, as a step computes with them.

    Without it XLA would be free to move activations instead, which grow with the batch.
    """
    if mesh.shape["model"] == 1:
        return params
    return jax.lax.with_sharding_constraint(params, replicated(mesh))


def to_device(values: Any, sharding: NamedSharding) -> Any:
    """Places this process's slices of global arrays on the devices."""
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), values
    )
