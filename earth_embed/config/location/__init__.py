"""The location encoder: an encoding, a network on top of it, and sums of such pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from earth_embed.config.checks import Faults
from earth_embed.config.location.encodings import (
    Concatenation,
    Encoding,
    MultiScale,
    SphericalHarmonics,
)
from earth_embed.config.location.networks import Network, Siren, TokenTransformer


@dataclass(frozen=True)
class LocationConfig:
    """A location encoder: (lon, lat) in degrees → encoding → network → embedding."""

    encoding: Encoding = field(default_factory=SphericalHarmonics)
    """The positional encoding."""
    network: Network = field(default_factory=Siren)
    """The network on top of it."""
    features: int = 256
    """Dimension D of the embedding."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("location", self)
        faults.at_least("features", self.features, 1)
        if isinstance(self.network, TokenTransformer):
            allowed = "an encoding in scales, which are its tokens, with TokenTransformer"
            in_scales = isinstance(self.encoding, MultiScale)
            faults.expect(in_scales, "encoding", self.encoding, allowed)
        faults.raise_if_any()


@dataclass(frozen=True)
class Combined:
    """Several whole location encoders, their embeddings summed or side by side."""

    parts: tuple[Location, ...]
    """The location encoders."""
    how: Literal["sum", "concatenation"] = "sum"
    """Whether the embeddings are added (as in GeoCLIP) or stand side by side."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("location", self)
        faults.one_of("how", self.how, ("sum", "concatenation"))
        faults.expect(bool(self.parts), "parts", self.parts, "at least one location encoder")
        if self.how == "sum":
            found = [part.features for part in self.parts]
            faults.expect(len(set(found)) <= 1, "parts.features", found, "one dimension in a sum")
        faults.raise_if_any()

    @property
    def features(self) -> int:
        """Dimension D of the embedding."""
        widths = [part.features for part in self.parts]
        return sum(widths) if self.how == "concatenation" else widths[0]


Location: TypeAlias = LocationConfig | Combined


def describe(settings: Location | Encoding) -> str:
    """An encoder in a few words, such as "SphericalHarmonics → Siren"."""
    if isinstance(settings, LocationConfig):
        return f"{describe(settings.encoding)} → {type(settings.network).__name__}"
    if isinstance(settings, Concatenation | Combined):
        sign = " + " if isinstance(settings, Combined) and settings.how == "sum" else ", "
        return f"({sign.join(map(describe, settings.parts))})"
    return type(settings).__name__


def harmonics_in(settings: Location | Encoding) -> Iterator[SphericalHarmonics]:
    """The spherical harmonics that an encoder is made of, if any."""
    if isinstance(settings, SphericalHarmonics):
        yield settings
    elif isinstance(settings, LocationConfig):
        yield from harmonics_in(settings.encoding)
    elif isinstance(settings, Concatenation | Combined):
        for part in settings.parts:
            yield from harmonics_in(part)
