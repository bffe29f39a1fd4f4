"""Networks from an encoding's features to the embedding: settings and Flax module side by side.

A new network is a module of this folder and a name in `Network`.
"""

from typing import TypeAlias

from earth_embed.encoders.networks.dense import Linear, Mlp, ResidualMlp
from earth_embed.encoders.networks.siren import ResidualSiren, Siren
from earth_embed.encoders.networks.token_transformer import TokenTransformer

__all__ = ["Linear", "Mlp", "Network", "ResidualMlp", "ResidualSiren", "Siren", "TokenTransformer"]

Network: TypeAlias = Siren | ResidualSiren | Mlp | ResidualMlp | TokenTransformer | Linear
