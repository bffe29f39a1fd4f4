"""What a run achieves: steps, examples and floating-point operations a second, and its memory."""

from __future__ import annotations

import math
import resource
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
"""The metrics that say how a run went, not what it computed."""


TRACED = 10
"""Steps of a profile; as many before it are left out, the compilation among them."""


class Meter:
    """Counts steps and what they cost, and says the rates since it was asked last."""

    def __init__(self, start: int, flops: Callable[[tuple[str, ...]], int]) -> None:
        """Starts at a step.

        Args:
            start: Steps taken before.
            flops: Floating-point operations of a step on these modalities.
        """
        self._step = self._asked = start
        self._flops, self._peak = flops, peak_flops(jax.devices())
        self._examples = self._operations = 0
        self._since = time.perf_counter()

    def tick(self, names: tuple[str, ...], examples: int) -> int:
        """One more step, on so many examples of these modalities; returns the number of steps."""
        self._step += 1
        self._examples += examples
        self._operations += self._flops(names)
        return self._step

    def rates(self) -> dict[str, float]:
        """The metrics `MEASURED`; `share_of_peak` where the devices' peak is known."""
        now = time.perf_counter()
        seconds = max(now - self._since, 1e-9)
        values = {
            "steps_per_second": (self._step - self._asked) / seconds,
            "examples_per_second": self._examples / seconds,
            "flops_per_second": self._operations / seconds,
            "peak_memory_bytes": float(peak_memory()),
        }
        if self._peak is not None:
            values["share_of_peak"] = values["flops_per_second"] / self._peak
        self._asked, self._since = self._step, now
        self._examples = self._operations = 0
        return values


def peak_memory() -> int:
    """The most bytes in use so far, on the fullest of this process's devices.

    On CPUs it is the process's resident memory.
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    in_use = max(each.get("peak_bytes_in_use", 0) for each in stats)
    unit = 1 if sys.platform == "darwin" else 1024
    return in_use or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def profiled(folder: Path | None, start: int) -> Iterator[Callable[[int], None]]:
    """Writes a trace of steps for TensorBoard or Perfetto, by process 0.

    Args:
        folder: Where; None: no trace.
        start: Steps taken before.

    Yields:
        A function that is told the number of steps after each.
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
        if tracing:  # a short or stopped run
            jax.profiler.stop_trace()


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
"""Published dense bfloat16 FLOP/s of one device, by how its kind begins."""


def product_flops(program: ClosedJaxpr, branch: int = 0) -> int:
    """2·m·n·k of each matrix product, and as much of convolutions, in one run on all devices.

    Args:
        program: What `jax.make_jaxpr`, or a compiled function's `trace`, tells of it.
        branch: Which branch of a `lax.cond` or `lax.switch` counts.
    """
    return _count(program.jaxpr, branch)


def peak_flops(devices: list[jax.Device]) -> float | None:
    """Published peak of all devices together; None where it is not known."""
    kinds = sorted(PEAKS, key=len, reverse=True)
    each = [next((PEAKS[k] for k in kinds if d.device_kind.startswith(k)), None) for d in devices]
    known = [peak for peak in each if peak is not None]
    return sum(known) if len(known) == len(devices) else None


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
