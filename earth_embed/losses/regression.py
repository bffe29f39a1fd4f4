"""Regression on frozen targets: what a contrastive loss on them is to be measured by."""

from __future__ import annotations

import jax

from earth_embed.losses.pairs import Comparison, Contrast, Pairs


def regression(rank: Comparison) -> Comparison:
    """The squared error of each candidate as a prediction of its anchor.

    ℓ_i = ‖zᵢ − eᵢ‖²        z, e as they are, not of unit length

    Args:
        rank: Says what is retrieved; its loss is not used.
    """

    def compare(pairs: Pairs) -> Contrast:
        error = ((pairs.anchors - pairs.candidates) ** 2).sum(axis=-1)
        return Contrast(error, rank(jax.lax.stop_gradient(pairs)).retrieved)

    return compare
