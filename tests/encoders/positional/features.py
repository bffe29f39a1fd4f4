"""What the tests of every encoding share."""

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.config import (
    Cartesian,
    Concatenation,
    EqualEarth,
    EqualEarthFourier,
    HashGrid,
    Space2Vec,
    Sphere2Vec,
    SphereFourier,
    SphericalHarmonics,
    SphericalVoronoi,
    Wrap,
)

ENCODINGS = {
    "harmonics": SphericalHarmonics(6),
    "harmonics satclip": SphericalHarmonics(5, "satclip"),
    "harmonics low-pass": SphericalHarmonics(5, low_pass_km=900.0, learnable_low_pass=True),
    "equal earth": EqualEarth(),
    "equal earth fourier": EqualEarthFourier(8, (1.0, 16.0, 256.0)),
    "sphere fourier": SphereFourier(8, (20_000.0, 300.0)),
    "grid": Space2Vec("grid", 5),
    "theory": Space2Vec("theory", 5),
    **{kind: Sphere2Vec(kind, 5) for kind in ("C", "C+", "M", "M+", "DFS")},
    "wrap": Wrap(),
    "cartesian": Cartesian(),
    "hash grid": HashGrid(3, table=500, width=2, coarsest_km=4000.0, finest_km=100.0),
    "voronoi": SphericalVoronoi(40, 6, blur_km=800.0),
    "concatenation": Concatenation((Cartesian(), SphericalHarmonics(3), HashGrid(2, table=50))),
    "concatenation with a seam": Concatenation(
        (Wrap(), Space2Vec("grid", 2, min_radius=0.07), Cartesian())
    ),
}


def draw(encoding, seed=0):
    """Parameters of an encoding, those that train moved away from where they start."""

    def init(key):
        params = encoding.module(name="encoding").init(key, jnp.zeros((1, 2)))
        leaves, tree = jax.tree.flatten(params)
        keys = jax.random.split(key, max(1, len(leaves)))
        moved = [p + jax.random.normal(k, p.shape) for p, k in zip(leaves, keys, strict=False)]
        return jax.tree.unflatten(tree, moved)

    return jax.jit(init)(jax.random.key(seed))


def materialise(encoding, variables, lonlat, smoothing_km=0.0):
    """Features as an array (N, width), traceable."""
    features = encoding.module(smoothing_km=smoothing_km, name="encoding").apply(variables, lonlat)
    return features @ jnp.eye(features.shape[-1])


def encode(encoding, lonlat, variables=None, smoothing_km=0.0):
    """Features as a NumPy array (N, width)."""
    variables = draw(encoding) if variables is None else variables
    apply = jax.jit(lambda v, x: materialise(encoding, v, x, smoothing_km))
    return np.asarray(apply(variables, jnp.asarray(lonlat, jnp.float32)))
