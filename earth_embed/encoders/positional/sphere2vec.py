"""Sphere2Vec: products of sines and cosines of lon and lat at geometric scales."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from earth_embed.config import Sphere2Vec
from earth_embed.encoders.positional.base import Encoding
from earth_embed.encoders.positional.space2vec import geometric_frequencies

_FEATURES = {"C": 3, "C+": 7, "M": 5, "M+": 8}
_PRODUCTS = {"C": 2, "C+": 2, "M": 4, "M+": 4}


class Sphere2VecEncoding(Encoding):
    """Features of S frequencies f_i; λ, φ in radians, and a superscript i multiplies by f_i.

        C    sin φⁱ, cos φⁱ cos λⁱ, cos φⁱ sin λⁱ
        M    sin φⁱ, cos φⁱ cos λ, cos φ cos λⁱ, cos φⁱ sin λ, cos φ sin λⁱ
        C+   C and sin φⁱ, cos φⁱ, sin λⁱ, cos λⁱ
        M+   M and cos φⁱ, sin λⁱ, cos λⁱ
        DFS  sin φⁱ, cos φⁱ, sin λⁱ, cos λⁱ, and the four products of each of
             sin φⁱ, cos φⁱ with each of sin λʲ, cos λʲ

    The features of one scale follow those of the last; in DFS, first all i of each single, then all
    (i, j) of each product, j fastest.

    Parameters: none. Seam: only at frequency 1 is C the unit vector; at others, cos φⁱ does not
    vanish at the poles, and λⁱ does not close at the antimeridian unless f_i is a whole number.

    References:
        Mai et al. 2023, "Sphere2Vec" (arXiv 2306.17624).
    """

    seam = "antimeridian, poles"
    config: Sphere2Vec

    @property
    def width(self) -> int:
        """3, 7, 5 or 8 features a scale, or 4 S² + 4 S."""
        scales = self.config.scales
        if self.config.variant == "DFS":
            return 4 * scales**2 + 4 * scales
        return _FEATURES[self.config.variant] * scales

    @property
    def flops(self) -> int:
        """A scale's 2 angles, 4 functions and its products; the plain angles and functions."""
        variant, scales = self.config.variant, self.config.scales
        products = 4 * scales if variant == "DFS" else _PRODUCTS[variant]
        return scales * (6 + products) + 6

    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, width)."""
        variant = self.config.variant
        lon, lat = jnp.radians(lonlat)[:, None, :].transpose(2, 0, 1)  # (N, 1) each
        f = geometric_frequencies(self.config)[None, :]  # (1, S)
        lon_i, lat_i = f * lon, f * lat  # (N, S) each
        sin_lon, cos_lon = jnp.sin(lon_i), jnp.cos(lon_i)
        sin_lat, cos_lat = jnp.sin(lat_i), jnp.cos(lat_i)
        if variant == "DFS":
            singles = [sin_lat, cos_lat, sin_lon, cos_lon]
            products = [
                (a[:, :, None] * b[:, None, :]).reshape(len(lonlat), -1)
                for a in (sin_lat, cos_lat)
                for b in (sin_lon, cos_lon)
            ]
            return jnp.concatenate([*singles, *products], axis=-1)
        if variant in ("C", "C+"):
            features = [sin_lat, cos_lat * cos_lon, cos_lat * sin_lon]
        else:
            features = [
                sin_lat,
                *(cos_lat * jnp.cos(lon), jnp.cos(lat) * cos_lon),
                *(cos_lat * jnp.sin(lon), jnp.cos(lat) * sin_lon),
            ]
        if variant == "C+":
            features += [sin_lat, cos_lat, sin_lon, cos_lon]
        if variant == "M+":
            features += [cos_lat, sin_lon, cos_lon]
        return jnp.stack(features, axis=-1).reshape(len(lonlat), -1)
