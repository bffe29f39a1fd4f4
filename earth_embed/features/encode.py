"""A frozen encoder's features of samples and of their augmented views."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from earth_embed.errors import DataError
from earth_embed.features.frozen import FrozenEncoder, Params
from earth_embed.features.inputs import Tokenizer
from earth_embed.features.views import ViewSettings, augment, jitter
from earth_embed.hashing import named_key

Encode: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Stored samples (B, ...) and their rows (B,) → features of their views (B, K, D) float32."""


def places_of_views(lonlat: np.ndarray, rows: np.ndarray, views: ViewSettings) -> np.ndarray:
    """The places (B, K, 2), degrees, of each sample's views, the plain one first.

    Args:
        lonlat: (B, 2), degrees.
        rows: (B,) rows of the samples in the data set.
        views: Number of views, and how far they move.
    """
    moved = [lonlat]
    for view in range(1, views.views):
        keys = _keys(views, "jitter", jnp.asarray(rows, jnp.uint32), view)
        moved.append(jitter(keys, lonlat, views.jitter_m) if views.jitter_m else lonlat)
    return np.stack(moved, axis=1)


def encode_views(
    encoder: FrozenEncoder, params: Params, batch_size: int, views: ViewSettings
) -> Encode:
    """A function that encodes images or tokens in batches, sharded over the local devices.

    `batch_size` must be a multiple of their number. The function raises DataError if the samples
    are not what the encoder reads.
    """
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)
    split, copied = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
    params = jax.device_put(params, copied)

    def augmented(params: Params, images: jax.Array, rows: jax.Array, view: jax.Array) -> jax.Array:
        if images.ndim != 4:
            raise DataError(f"expected images (H, W, C); found samples of shape {images.shape[1:]}")
        keys = _keys(views, "augmentation", rows, view)
        seen = jax.vmap(partial(augment, settings=views))(keys, images.astype(jnp.float32))
        return encoder.features(params, seen)

    # The plain view is compiled separately: its bits must not depend on the number of views.
    plain = jax.jit(encoder.features, out_shardings=split)
    other = jax.jit(augmented, out_shardings=split)

    def encode(samples: np.ndarray, rows: np.ndarray) -> np.ndarray:
        features = []
        for start in range(0, len(samples), batch_size):
            batch, numbers = (a[start : start + batch_size] for a in (samples, rows))
            filling = np.arange(batch_size).clip(max=len(batch) - 1)
            filled = jax.device_put(batch[filling], split)
            filled_rows = jax.device_put(numbers[filling].astype(np.uint32), split)
            seen = [plain(params, filled)]
            for view in range(1, views.views):
                seen.append(other(params, filled, filled_rows, np.uint32(view)))
            features.append(np.stack([np.asarray(v)[: len(batch)] for v in seen], axis=1))
        return np.concatenate(features)

    return encode


def encode_texts(tokenizer: Tokenizer, encode: Encode, views: int) -> Encode:
    """A function that encodes texts: UTF-8 bytes (B, L) uint8, padded with zeros.

    All K `views` have the same features. The function raises DataError if the samples are not
    texts.
    """

    def of_texts(samples: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if samples.dtype != np.uint8 or samples.ndim != 2:
            raise DataError(
                f"expected texts; found samples {samples.dtype} of shape {samples.shape[1:]}"
            )
        # A text cut to length may end inside a character.
        texts = [row.tobytes().rstrip(b"\0").decode(errors="ignore") for row in samples]
        return np.repeat(encode(tokenizer(texts), rows), views, axis=1)

    return of_texts


def _keys(views: ViewSettings, name: str, rows: jax.Array, view: jax.Array | int) -> jax.Array:
    """Keys (B,), functions of (seed, row, view) only."""
    key = jax.random.fold_in(named_key(views.seed, name), view)
    return jax.vmap(partial(jax.random.fold_in, key))(rows)
