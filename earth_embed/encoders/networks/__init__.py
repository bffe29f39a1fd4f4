"""Networks: an encoding's features → embedding.

Each module holds networks' settings and their Flax modules. To add one, write such a module, and
add the settings to `__all__` and `Network` here. Networks know nothing of coordinates.
"""

from typing import TypeAlias

from earth_embed.encoders.networks.dense import Linear, Mlp, ResidualMlp
from earth_embed.encoders.networks.siren import ResidualSiren, Siren
from earth_embed.encoders.networks.token_transformer import TokenTransformer

__all__ = ["Linear", "Mlp", "Network", "ResidualMlp", "ResidualSiren", "Siren", "TokenTransformer"]

Network: TypeAlias = Siren | ResidualSiren | Mlp | ResidualMlp | TokenTransformer | Linear
