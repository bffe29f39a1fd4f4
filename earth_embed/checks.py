"""Checks of a configuration's fields, by their annotations, that name every fault in one error."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from typing import Any

from earth_embed.errors import ConfigError


class Checks:
    """Checks the fields of a configuration dataclass and raises all problems in one error."""

    def __init__(self, owner: str, settings: Any) -> None:
        """Checks the declared types, then the choices of every `Literal` field.

        Args:
            owner: The object's name in messages.
            settings: The configuration dataclass.

        Raises:
            ConfigError: a field is of another type, or a number is not finite. No other check
                would make sense.
        """
        self.owner = owner
        self.found: list[str] = []
        hints = typing.get_type_hints(type(settings))
        fields = [(f.name, getattr(settings, f.name)) for f in dataclasses.fields(settings)]
        for name, value in fields:
            self.expect(_fits(value, hints[name]), name, value, _name(hints[name]))
        self.raise_if_any()
        for name, value in fields:
            if typing.get_origin(hints[name]) is typing.Literal:
                known = value in typing.get_args(hints[name])
                self.expect(known, name, value, _name(hints[name]))

    def expect(self, condition: bool, field: str, value: object, allowed: str) -> None:
        """Notes that `field` has `value` instead of `allowed`, unless `condition` holds."""
        if not condition:
            self.found.append(f"{self.owner}.{field} = {value!r}: expected {allowed}")

    def at_least(self, field: str, value: float, least: float) -> None:
        """Notes a number below `least`."""
        self.expect(value >= least, field, value, f"a number ≥ {least}")

    def positive(self, field: str, value: float) -> None:
        """Notes a number that is not positive."""
        self.expect(value > 0, field, value, "a number > 0")

    def fraction(self, field: str, value: float) -> None:
        """Notes a number outside [0, 1)."""
        self.expect(0 <= value < 1, field, value, "a number in [0, 1)")

    def raise_if_any(self) -> None:
        """Raises ConfigError with every problem found, one per line."""
        if self.found:
            raise ConfigError("\n".join(self.found))


class Checked:
    """Base of configuration dataclasses: an object with a fault in its fields cannot be built.

    @dataclass(frozen=True)
    class Tiles(Checked, owner="memory"):      # messages begin with "memory.FIELD"
        size: int = 0

        def _check(self, checks: Checks) -> None:
            checks.at_least("size", self.size, 0)
    """

    _owner = ""

    def __init_subclass__(cls, owner: str) -> None:
        """Sets the name in messages, a format string in which {0} is the object."""
        cls._owner = owner

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault: types, choices, and what `_check` notes."""
        checks = Checks(self._owner.format(self), self)
        self._check(checks)
        checks.raise_if_any()

    def _check(self, checks: Checks) -> None:
        """Notes faults that types cannot express."""


def _fits(value: object, kind: Any) -> bool:
    """Whether a value has a field's type; an int passes as a float."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return isinstance(value, str)  # `Checks` tells which, together with other faults
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, inner[0]) for item in value)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in inner)
    if kind is float:
        # An int may be too large for a float.
        return type(value) in (int, float) and abs(typing.cast(float, value)) <= sys.float_info.max
    return type(value) is kind


def _name(kind: Any) -> str:
    """A type, for messages."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return f"a tuple of {_name(inner[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_name(choice) for choice in inner)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(repr, inner))
    return "a finite float" if kind is float else kind.__name__
