"""Checks shared by the configuration dataclasses: every fault of an object in one error."""

from __future__ import annotations

from collections.abc import Iterable

from earth_embed.errors import ConfigError


class Faults:
    """Collects the faults of one configuration object, then raises them together."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.found: list[str] = []

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
