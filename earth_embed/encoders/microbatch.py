"""Encodes a batch in parts, so that the activations of all of it never exist at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

Encode = Callable[[jax.Array, jax.Array | None], jax.Array]
"""(inputs (N, ...), dropout key or None) → (N, D)"""


def encode_in_parts(
    encode: Encode, inputs: jax.Array, key: jax.Array | None, size: int
) -> jax.Array:
    """Computes `encode(inputs, key)`, `size` rows at a time, and again in the backward pass.

    Only inputs and embeddings are kept for the whole batch. The loss's gradient with respect to the
    embeddings is cached before the encoders' backward pass, so gradients are exact (GradCache,
    arXiv 2101.06983).

    The batch is encoded whole if `size` is 0 or does not divide it (as in validation). Each part
    gets its own dropout key, so masks differ from those of the whole batch.
    """
    batch = len(inputs)
    if size == 0 or batch == size or batch % size:
        return encode(inputs, key)
    parts = batch // size
    keys = None if key is None else jax.random.split(key, parts)
    return map_parts(encode, inputs, parts, keys)


def map_parts(
    function: Callable[..., jax.Array], inputs: jax.Array, parts: int, *others: Any
) -> jax.Array:
    """Applies `function` to one part of the rows at a time, and again in the backward pass.

    Args:
        function: (rows (N / parts, ...), *others of this part) → (N / parts, D).
        inputs: (N, ...), N a multiple of `parts`.
        parts: Number of parts. Part k has rows k, k + parts, …, so every device holds a share of
            it. Consecutive rows would all lie on one device, and the other devices would silently
            repeat the work.
        *others: Further arguments with one entry per part.

    Returns:
        (N, D), in the order of the inputs.
    """
    count = len(inputs)
    split = inputs.reshape(count // parts, parts, *inputs.shape[1:]).swapaxes(0, 1)
    once_more = jax.checkpoint(function)
    outputs = jax.lax.map(lambda part: once_more(*part), (split, *others))  # (parts, size, D)
    return outputs.swapaxes(0, 1).reshape(count, -1)
