"""Batches for the tests of losses, and the losses one row at a time in float64."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from earth_embed.config import GeodesicNtXent, Memory, NtXent, Sigmoid
from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.losses.build import build_loss
from earth_embed.losses.pairs import Pairs
from earth_embed.step.mesh import over_batch

LOSSES = [
    NtXent(),
    Sigmoid(),
    GeodesicNtXent(300.0),
    GeodesicNtXent(300.0, "semivariogram"),
]


def make_batch(size, dim=8, seed=0, groups=False, degrees=20.0):
    """Related anchors and candidates at places within a few hundred km, some at one place.

    Scales and biases are one for each anchor.
    """
    rng = np.random.default_rng(seed)
    anchors = rng.normal(size=(size, dim))
    candidates = anchors + 1.5 * rng.normal(size=(size, dim))
    lonlat = rng.uniform(-degrees / 2, degrees / 2, (size, 2))
    same_place = size // 4
    lonlat[:same_place] = lonlat[0]
    return Pairs(
        anchors.astype(np.float32),
        candidates.astype(np.float32),
        logit_scale=rng.uniform(2, 12, size).astype(np.float32),
        logit_bias=rng.uniform(-8, -2, size).astype(np.float32),
        groups=rng.integers(0, 3, size).astype(np.int32) if groups else None,
        lonlat=lonlat.astype(np.float32),
    )


def reference(loss, pairs):
    """The losses (B,) in float64, each anchor by itself."""
    p = Pairs(*(None if x is None else np.asarray(x, np.float64) for x in pairs))
    z, e = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (p.anchors, p.candidates))
    losses = []
    for i in range(len(z)):
        x = p.logit_scale[i] * (e @ z[i])
        distance = haversine_km(p.lonlat[i], p.lonlat)
        rivals = np.ones(len(z), bool) if p.groups is None else p.groups == p.groups[i]
        if isinstance(loss, Sigmoid):
            signs = np.where(np.arange(len(z)) == i, 1, -1)
            each = np.logaddexp(0, -signs * (x + p.logit_bias[i]))
            losses.append(each[rivals].sum())
        elif isinstance(loss, NtXent):
            losses.append(logsumexp(x[rivals]) - x[i])
        elif loss.weighting == "soft_targets":
            near = np.exp(-(distance**2) / (2 * loss.bandwidth_km**2))[rivals]
            losses.append(-(near / near.sum()) @ (x[rivals] - logsumexp(x[rivals])))
        else:
            weights = 1 - np.exp(-distance / loss.bandwidth_km)
            weights[i] = 1
            losses.append(logsumexp(x[rivals], b=weights[rivals]) - x[i])
    return np.array(losses)


def haversine_km(place, places):
    """Great-circle distances in float64 from one (lon, lat) to many, in degrees."""
    (lon, lat), (lons, lats) = np.radians(place), np.radians(places).T
    h = np.sin((lats - lat) / 2) ** 2 + np.cos(lat) * np.cos(lats) * np.sin((lons - lon) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(h))


def value_and_gradients(compare, pairs):
    """The contrast, and the gradients of a weighted sum of losses in all that is differentiable."""
    weights = np.linspace(0.5, 2, len(pairs.anchors), dtype=np.float32)

    @jax.jit
    def compute(anchors, candidates, scale, bias):
        def total(*embedded):
            contrast = compare(
                Pairs(
                    *embedded,
                    groups=None if pairs.groups is None else jnp.asarray(pairs.groups),
                    lonlat=jnp.asarray(pairs.lonlat),
                )
            )
            return (weights * contrast.loss).mean(), contrast

        values = anchors, candidates, scale, bias
        gradients, contrast = jax.grad(total, argnums=(0, 1, 2, 3), has_aux=True)(*values)
        return contrast, gradients

    return jax.device_get(
        compute(pairs.anchors, pairs.candidates, pairs.logit_scale, pairs.logit_bias)
    )


def whole(loss, direction, pairs):
    """The plain form's contrast and gradients."""
    compare = build_loss(loss, direction, Memory(tile=len(pairs.anchors)))
    return value_and_gradients(compare, pairs)


def compiled_bytes(compare, size, dim=256, mesh=None):
    """Arguments, results and temporaries of a loss and its gradient on a device; not run."""

    def loss(anchors, candidates, scale, lonlat):
        return compare(Pairs(anchors, candidates, scale, lonlat=lonlat)).loss.mean()

    rows = None if mesh is None else over_batch(mesh)
    arguments = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=rows if shape else None)
        for shape in ((size, dim), (size, dim), (), (size, 2))
    ]
    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2))).lower(*arguments).compile()
    memory = compiled.memory_analysis()
    return memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes


def assert_same(ours, theirs, tolerance=1e-5):
    """Values and gradients within a relative tolerance; the gradients as whole arrays.

    A value is a difference of logits of up to 12: where it is small, it has their rounding of
    1e-6 (8 eps of 1), whatever its own size.
    """
    (contrast, gradients), (expected, expected_gradients) = ours, theirs
    np.testing.assert_allclose(contrast.loss, expected.loss, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(contrast.retrieved, expected.retrieved)
    for ours, theirs in zip(gradients[:3], expected_gradients[:3], strict=True):
        assert np.linalg.norm(theirs) > 0
        assert np.linalg.norm(ours - theirs) <= tolerance * np.linalg.norm(theirs)
    # Only the sigmoid loss depends on the bias: elsewhere what is left is rounding.
    error = np.linalg.norm(gradients[3] - expected_gradients[3])
    assert error <= tolerance * max(np.linalg.norm(expected_gradients[3]), 1)
