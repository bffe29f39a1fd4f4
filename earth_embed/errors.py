"""The errors that a user can cause, each with one clear message and no traceback on the CLI."""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Iterable
from typing import Any


class EarthEmbedError(Exception):
    """Base of every error that a user's input, files or machine can cause."""


class CoordinateError(EarthEmbedError, ValueError):
    """Coordinates are not (lon, lat) in degrees."""


class ConfigError(EarthEmbedError, ValueError):
    """An experiment's settings are unknown, out of range or contradict each other."""


class DataError(EarthEmbedError, ValueError):
    """A data set is missing, empty, unreadable or lacks what was asked of it."""


class RunError(EarthEmbedError, RuntimeError):
    """A run directory cannot be written, is foreign, or holds another configuration."""


class CheckpointError(RunError):
    """A checkpoint is missing or corrupt."""


class Interrupted(EarthEmbedError):
    """Training was asked to stop (Ctrl-C or SIGTERM) and saved its state first.

    Attributes:
        signal: The signal's number.
    """

    def __init__(self, message: str, signal: int) -> None:
        """Takes the message and the signal's number."""
        super().__init__(message)
        self.signal = signal


class ProcessLost(EarthEmbedError):
    """Another process of the run is gone, and this one cannot go on alone."""


class FaultWarning(UserWarning):
    """Something went wrong and was dealt with: a checkpoint passed over, a step skipped."""


def require(package: str, extra: str, purpose: str) -> EarthEmbedError:
    """Returns the error for a missing optional package.

    Args:
        package: The import that failed.
        extra: The extra of `earth-embed` that installs it.
        purpose: What needs it, to complete "... needs".
    """
    how = f'pip install "earth-embed[{extra}]"'
    if package.partition(".")[0] == "array_record" and sys.platform == "win32":
        how = "it is not built for Windows; expected Linux, macOS or WSL"
    return EarthEmbedError(f"{purpose} needs the package {package!r}: {how}")


class Checks:
    """Collects the faults of one configuration object, then raises them together."""

    def __init__(self, owner: str, settings: Any) -> None:
        """Starts with the types, without which no other check makes sense.

        Args:
            owner: Its name in messages.
            settings: The configuration dataclass.

        Raises:
            ConfigError: a field is of another type, or a number is not finite.
        """
        self.owner = owner
        self.found: list[str] = []
        hints = typing.get_type_hints(type(settings))
        for field in dataclasses.fields(settings):
            value = getattr(settings, field.name)
            self.expect(
                _fits(value, hints[field.name]), field.name, value, _name(hints[field.name])
            )
        self.raise_if_any()

    def expect(self, condition: bool, field: str, value: object, allowed: str) -> None:
        """Notes that `field` has `value` where `allowed` was expected, unless `condition` holds."""
        if not condition:
            self.found.append(f"{self.owner}.{field} = {value!r}: expected {allowed}")

    def one_of(self, field: str, value: str, allowed: Iterable[str]) -> None:
        """Notes a value that is not among `allowed`."""
        choices = tuple(allowed)
        self.expect(value in choices, field, value, "one of " + ", ".join(map(repr, choices)))

    def at_least(self, field: str, value: float, least: float) -> None:
        """Notes a number below `least` (or not a number)."""
        self.expect(value >= least, field, value, f"a number ≥ {least}")

    def positive(self, field: str, value: float) -> None:
        """Notes a number that is not above 0."""
        self.expect(value > 0, field, value, "a number > 0")

    def fraction(self, field: str, value: float) -> None:
        """Notes a number outside [0, 1)."""
        self.expect(0 <= value < 1, field, value, "a number in [0, 1)")

    def raise_if_any(self) -> None:
        """Raises ConfigError with every fault found, one a line."""
        if self.found:
            raise ConfigError("\n".join(self.found))


def _fits(value: object, kind: Any) -> bool:
    """Whether a value has a field's type; an int stands for a float."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return isinstance(value, str)  # which one is checked by `one_of`
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, inner[0]) for item in value)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in inner)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(typing.cast(float, value))
    return type(value) is kind


def _name(kind: Any) -> str:
    """A type as a message says it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return f"a tuple of {_name(inner[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_name(choice) for choice in inner)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(repr, inner))
    return "a finite float" if kind is float else kind.__name__
