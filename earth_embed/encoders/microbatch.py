"""Encoding a batch in parts, so that the activations of the whole never exist at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

Encode = Callable[[jax.Array, jax.Array | None], jax.Array]
"""(inputs (N, ...), dropout key or None) → (N, D)"""


def encode_in_parts(
    encode: Encode, inputs: jax.Array, key: jax.Array | None, size: int
) -> jax.Array:
    """`encode(inputs, key)`, `size` rows at a time, each part computed again for its gradient.

    All that lives of the whole batch are its inputs and embeddings. The embeddings' gradients are
    cached between the loss and the encoders: gradients are exact (GradCache, arXiv 2101.06983).

    A batch that is no multiple of `size` (validation has such), or size 0, is encoded whole. With a
    key every part has its own, so dropout's masks are others than those of the whole batch.
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
    """`function` of each part of the rows, in turn, each computed again for its gradient.

    Args:
        function: (rows (N / parts, ...), *others of this part) → (N / parts, D).
        inputs: (N, ...), a multiple of `parts`.
        parts: Number of parts. Part k takes rows k, k + parts, …: a share of every device's rows.
            Consecutive rows would all be of one device, and the others would silently compute them
            too.
        *others: Further arguments with one entry for each part.

    Returns:
        (N, D), in the order of the inputs.
    """
    count = len(inputs)
    split = inputs.reshape(count // parts, parts, *inputs.shape[1:]).swapaxes(0, 1)
    once_more = jax.checkpoint(function)
    outputs = jax.lax.map(lambda part: once_more(*part), (split, *others))  # (parts, size, D)
    return outputs.swapaxes(0, 1).reshape(count, -1)
