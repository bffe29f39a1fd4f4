"""The location encoder: (lon, lat) in degrees → positional encoding → network → embedding.

Settings first, then the modules that they configure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.checks import Checked, Checks
from earth_embed.encoders.networks import Network
from earth_embed.encoders.networks.siren import Siren
from earth_embed.encoders.networks.token_transformer import TokenTransformer
from earth_embed.encoders.positional import Concatenation, Encoding, MultiScale
from earth_embed.encoders.positional.harmonics import SphericalHarmonics
from earth_embed.hashing import named_key


@dataclass(frozen=True)
class LocationConfig(Checked, owner="location"):
    """A location encoder: (lon, lat) in degrees → encoding → network → embedding."""

    encoding: Encoding = field(default_factory=SphericalHarmonics)
    """The positional encoding."""
    network: Network = field(default_factory=Siren)
    """The network on top of it."""
    features: int = 256
    """Dimension D of the embedding."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("features", self.features, 1)
        if isinstance(self.network, TokenTransformer):
            allowed = "an encoding in scales, which are its tokens, with TokenTransformer"
            in_scales = isinstance(self.encoding, MultiScale)
            checks.expect(in_scales, "encoding", self.encoding, allowed)


@dataclass(frozen=True)
class Combined(Checked, owner="location"):
    """Several location encoders whose embeddings are summed or concatenated."""

    parts: tuple[Location, ...]
    """The location encoders."""
    how: Literal["sum", "concatenation"] = "sum"
    """Whether to sum the embeddings (as in GeoCLIP) or to concatenate them."""

    def _check(self, checks: Checks) -> None:
        checks.expect(bool(self.parts), "parts", self.parts, "at least one location encoder")
        if self.how == "sum":
            found = [part.features for part in self.parts]
            checks.expect(len(set(found)) <= 1, "parts.features", found, "one dimension in a sum")

    @property
    def features(self) -> int:
        """Dimension D of the embedding."""
        widths = [part.features for part in self.parts]
        return sum(widths) if self.how == "concatenation" else widths[0]


Location: TypeAlias = LocationConfig | Combined


def describe(settings: Location | Encoding) -> str:
    """A short description, such as "SphericalHarmonics → Siren"."""
    if isinstance(settings, LocationConfig):
        return f"{describe(settings.encoding)} → {type(settings.network).__name__}"
    if isinstance(settings, Concatenation | Combined):
        sign = " + " if isinstance(settings, Combined) and settings.how == "sum" else ", "
        return f"({sign.join(map(describe, settings.parts))})"
    return type(settings).__name__


def harmonics_in(settings: Location | Encoding) -> Iterator[SphericalHarmonics]:
    """Finds all spherical harmonics in an encoder."""
    if isinstance(settings, SphericalHarmonics):
        yield settings
    elif isinstance(settings, LocationConfig):
        yield from harmonics_in(settings.encoding)
    elif isinstance(settings, Concatenation | Combined):
        for part in settings.parts:
            yield from harmonics_in(part)


class SingleEncoder(nn.Module):
    """One encoding and the network on top of it.

    Attributes:
        config: Its settings.
        dtype: Data type of the matrix products; encodings are always computed in float32.
        smoothing_km: Additional low-pass of spherical harmonics, in km; see `HarmonicsEncoding`.
    """

    config: LocationConfig
    dtype: Any = jnp.float32
    smoothing_km: float = 0.0

    @nn.compact
    def __call__(self, lonlat: jax.Array, train: bool = False) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, features) float32."""
        encoding, network = self.config.encoding, self.config.network
        encoded = encoding.module(smoothing_km=self.smoothing_km, name="encoding")(lonlat)
        scales = encoding.scales if isinstance(encoding, MultiScale) else 1
        embed = network.module(self.config.features, self.dtype, scales)
        return embed(encoded, train).astype(jnp.float32)


class CombinedEncoder(nn.Module):
    """Several encoders whose embeddings are summed or concatenated.

    Attributes:
        config: Its settings.
        dtype: As in `SingleEncoder`.
        smoothing_km: As in `SingleEncoder`.
    """

    config: Combined
    dtype: Any = jnp.float32
    smoothing_km: float = 0.0

    @nn.compact
    def __call__(self, lonlat: jax.Array, train: bool = False) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, features) float32."""
        embeddings = [
            build_location(part, self.dtype, self.smoothing_km, name=f"part_{i}")(lonlat, train)
            for i, part in enumerate(self.config.parts)
        ]
        if self.config.how == "concatenation":
            return jnp.concatenate(embeddings, axis=-1)
        return sum(embeddings[1:], start=embeddings[0])


LocationModule: TypeAlias = SingleEncoder | CombinedEncoder


def build_location(
    location: Location,
    dtype: Any = jnp.float32,
    smoothing_km: float = 0.0,
    name: str | None = None,
) -> LocationModule:
    """Builds the module of a location encoder; `name` as for any Flax module."""
    kind: Any = CombinedEncoder if isinstance(location, Combined) else SingleEncoder
    return kind(location, dtype, smoothing_km, name=name)


def init_location(location: Location, seed: int) -> Any:
    """The location encoder's initial parameters in a run with this seed."""
    key = named_key(seed, "init/location")
    variables = build_location(location).init(key, jnp.zeros((1, 2), jnp.float32))
    return variables.get("params", {})


def parameter_count(location: Location) -> int:
    """Number of parameters, including frozen ones."""
    shapes = jax.eval_shape(lambda: init_location(location, 0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def flops_per_place(location: Location) -> float:
    """Floating-point operations to embed one place, as XLA counts them in the lowered program.

    An elementary function counts as one operation. XLA counts the body of a loop only once, so the
    number is too small for spherical harmonics beyond L = 128, which run a recurrence.
    """
    # Many places, so that work done once per batch hardly counts.
    places = jax.ShapeDtypeStruct((1024, 2), jnp.float32)
    params = jax.eval_shape(lambda: init_location(location, 0))
    lowered = jax.jit(build_location(location).apply).lower({"params": params}, places)
    cost: Any = lowered.cost_analysis()
    return (cost["flops"] + cost.get("transcendentals", 0)) / len(places)
