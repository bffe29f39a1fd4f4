"""Features that stay what they are: the location embedding goes to them, not they to it."""

from __future__ import annotations

import math

import flax.linen as nn
import jax

from earth_embed.encoders.modality.registry import Tower, register


@register("target")
class TargetTower(Tower):
    """A frozen target. The one trained layer is a linear head on the location embedding.

    The other way round (a head on the sample) training may turn the samples into whatever tells
    places apart. A target cannot be turned: what it does not say of a place, nothing is learnt of.

    Both sides are divided by √n: a squared distance is then the mean over features, and the linear
    head starts with predictions of about the length of standardised targets.

    `width` and `depth` are not used.
    """

    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, ...) features to (B, n), flattened."""
        flat = sample.reshape(sample.shape[0], -1)
        return flat / math.sqrt(flat.shape[1])

    @nn.compact
    def meet(self, anchors: jax.Array, locations: jax.Array) -> jax.Array:
        """Maps location embeddings (B, D) to the targets' space (B, n)."""
        n = anchors.shape[-1]
        return nn.Dense(n, dtype=self.dtype)(locations) / math.sqrt(n)
