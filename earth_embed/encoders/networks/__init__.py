"""Networks from features to embeddings: one file a kind, each the class of its settings."""

from __future__ import annotations

from typing import Any

from earth_embed.config import (
    Linear,
    LocationConfig,
    Mlp,
    ResidualMlp,
    ResidualSiren,
    Siren,
    TokenTransformer,
)
from earth_embed.config.location.encodings import MultiScale
from earth_embed.encoders.networks.base import Network
from earth_embed.encoders.networks.mlp import LinearNetwork, MlpNetwork, ResidualMlpNetwork
from earth_embed.encoders.networks.residual_siren import ResidualSirenNetwork
from earth_embed.encoders.networks.siren import SirenNetwork
from earth_embed.encoders.networks.token_transformer import TokenTransformerNetwork

_NETWORKS: dict[type, tuple[str, type[Network]]] = {
    Siren: ("siren", SirenNetwork),
    ResidualSiren: ("residual_siren", ResidualSirenNetwork),
    Mlp: ("mlp", MlpNetwork),
    ResidualMlp: ("residual_mlp", ResidualMlpNetwork),
    Linear: ("linear", LinearNetwork),
    TokenTransformer: ("token_transformer", TokenTransformerNetwork),
}
"""For each kind of settings the name of its parameters, and the module."""


def build_network(location: LocationConfig, dtype: Any) -> Network:
    """The network of a location encoder; its parameters go by the name of its kind."""
    name, kind = _NETWORKS[type(location.network)]
    scales: dict[str, Any] = {}
    if isinstance(location.encoding, MultiScale) and kind is TokenTransformerNetwork:
        scales["tokens"] = location.encoding.scales
    return kind(location.network, location.features, dtype, name=name, **scales)
