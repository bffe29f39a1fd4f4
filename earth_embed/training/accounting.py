"""What a run achieves: steps, examples and FLOPs per second, memory, and a profile."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from earth_embed.processes import is_main

MEASURED = (
    "steps_per_second",
    "examples_per_second",
    "flops_per_second",
    "share_of_peak",
    "peak_memory_bytes",
)
"""The metrics of speed and memory, which differ between two runs of the same numbers."""

TRACED = 10
"""Steps in a profile. As many steps before it, compilation among them, are left out."""

PEAKS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA L4": 121e12,
}
"""Prefix of a device's kind → its published dense bfloat16 FLOP/s."""


class Meter:
    """Counts steps, examples and FLOPs, and gives their rates since it was last asked."""

    def __init__(self, start: int) -> None:
        """Starts after `start` steps."""
        self._step = self._asked = start
        self._peak = peak_flops(jax.devices())
        self._examples = self._flops = 0
        self._since = time.perf_counter()

    def tick(self, examples: int, flops: int) -> int:
        """Counts one more step; returns the number of steps so far."""
        self._step += 1
        self._examples += examples
        self._flops += flops
        return self._step

    def rates(self) -> dict[str, float]:
        """The metrics `MEASURED`, without those that are not known on this machine."""
        now = time.perf_counter()
        seconds = max(now - self._since, 1e-9)
        values = {
            "steps_per_second": (self._step - self._asked) / seconds,
            "examples_per_second": self._examples / seconds,
            "flops_per_second": self._flops / seconds,
        }
        if memory := peak_memory():
            values["peak_memory_bytes"] = float(memory)
        if self._peak is not None:
            values["share_of_peak"] = values["flops_per_second"] / self._peak
        self._asked, self._since = self._step, now
        self._examples = self._flops = 0
        return values


def peak_memory() -> int:
    """Peak bytes in use on the fullest of this process's devices; 0 if unknown.

    On CPUs, the peak resident memory of the process.
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if in_use := max(each.get("peak_bytes_in_use", 0) for each in stats):
        return in_use
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def profiled(folder: Path | None, start: int) -> Iterator[Callable[[int], None]]:
    """Writes a trace of `TRACED` steps for TensorBoard or Perfetto, in process 0; None: no trace.

    Yields:
        A function to call after each step, with the number of steps so far.
    """
    tracing = False

    def tell(step: int) -> None:
        nonlocal tracing
        if folder is None or not is_main():
            return
        if step == start + TRACED:
            jax.profiler.start_trace(str(folder), create_perfetto_trace=True)
            tracing = True
        elif tracing and step == start + 2 * TRACED:
            jax.profiler.stop_trace()
            tracing = False

    try:
        yield tell
    finally:
        if tracing:  # the run was short or stopped
            jax.profiler.stop_trace()


def peak_flops(devices: list[jax.Device]) -> float | None:
    """Published peak FLOP/s of all devices together; None if one is not in `PEAKS`."""
    kinds = sorted(PEAKS, key=len, reverse=True)
    each = [next((PEAKS[k] for k in kinds if d.device_kind.startswith(k)), None) for d in devices]
    known = [peak for peak in each if peak is not None]
    return sum(known) if len(known) == len(devices) else None


def product_flops(program: ClosedJaxpr, branch: int = 0) -> int:
    """FLOPs of the matrix products (2·m·n·k each) and convolutions of one run on all devices.

    Args:
        program: From `jax.make_jaxpr`, or a compiled function's `trace`.
        branch: The branch of each `lax.cond` or `lax.switch` that is counted.
    """
    return _count(program.jaxpr, branch)


def _count(jaxpr: Jaxpr, branch: int) -> int:
    return sum(_of_equation(equation, branch) for equation in jaxpr.eqns)


def _of_equation(equation: JaxprEqn, branch: int) -> int:
    name, params = equation.primitive.name, equation.params
    shapes: list[Any] = [getattr(each.aval, "shape", ()) for each in equation.invars]
    outputs = math.prod(getattr(equation.outvars[0].aval, "shape", ())) if equation.outvars else 0
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return 2 * outputs * math.prod(shapes[0][axis] for axis in contracted)
    if name == "conv_general_dilated":
        out_channels = shapes[1][params["dimension_numbers"].rhs_spec[0]]
        return 2 * outputs * (math.prod(shapes[1]) // out_channels)
    inner = [_count(jaxpr, branch) for jaxpr in _inner(params)]
    if name == "cond":
        return inner[min(branch, len(inner) - 1)]
    if name == "scan":
        return params["length"] * sum(inner)
    if name == "shard_map":  # its body is the program of one device
        return params["mesh"].size * sum(inner)
    return sum(inner)


def _inner(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """The programs among an operation's parameters."""
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, Jaxpr):
                yield part
