"""Floating-point operations of a step's matrix products, counted in the program that is traced.

What a step achieves is these by its time. They are all but a few per cent of its work, and the part
that processors' published peaks are about; the gradient's are among them, and those computed a
second time to save memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

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
