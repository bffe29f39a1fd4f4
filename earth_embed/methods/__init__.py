"""The three training methods, one file each."""

from __future__ import annotations

from collections.abc import Mapping

from jax.sharding import Mesh

from earth_embed.config import Melt, Pair
from earth_embed.encoders.towers import Towers
from earth_embed.methods.base import Method
from earth_embed.methods.melt import MeltMethod
from earth_embed.methods.pair import PairMethod
from earth_embed.methods.salt import SaltMethod

__all__ = ["MeltMethod", "Method", "PairMethod", "SaltMethod", "build_method"]


def build_method(towers: Towers, counts: Mapping[str, int], mesh: Mesh) -> Method:
    """The experiment's method.

    Args:
        towers: The experiment's towers.
        counts: Training examples of each modality.
        mesh: The devices that share a batch.
    """
    settings = towers.experiment.method
    if isinstance(settings, Pair):
        return PairMethod(towers, counts, mesh)
    if isinstance(settings, Melt):
        return MeltMethod(towers, counts, mesh)
    return SaltMethod(towers, counts, mesh)
