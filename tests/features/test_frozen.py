"""Frozen encoders: the published sizes, and that nothing in them ever changes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.features.frozen import PUBLISHED, FrozenEncoder
from earth_embed.features.inputs import ImageInput, TextInput
from earth_embed.features.transformer import Blocks, ClipText, SentenceEncoder
from earth_embed.features.vision import ResNet, VisionTransformer

PIXELS = ImageInput(16, 16, (10.0, 20.0), (2.0, 4.0))
SMALL = {
    "resnet": FrozenEncoder(ResNet((1, 1), bottleneck=False, width=4), PIXELS, 8),
    "vit": FrozenEncoder(VisionTransformer(Blocks(8, 1, 2), 8), PIXELS, 8),
    "clip text": FrozenEncoder(ClipText(Blocks(8, 2, 2), 20, 9, 19, 5), TextInput(9, 20), 5),
    "sentence": FrozenEncoder(
        SentenceEncoder(Blocks(8, 2, 2, 1e-12, "after"), 20, 9), TextInput(9, 20), 8
    ),
}


shapes = functools.cache(FrozenEncoder.shapes)


def make(name, rng):
    """An encoder, random parameters, and samples as they are stored."""
    encoder = SMALL[name]
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.1, 1, leaf.shape), leaf.dtype), shapes(encoder)
    )
    if isinstance(encoder.input, ImageInput):
        return encoder, params, rng.integers(0, 255, (3, 16, 16, 2)).astype(np.uint8)
    tokens = rng.integers(1, 19, (3, 6)).astype(np.int32)
    tokens[:, 4:] = (19, 0)
    return encoder, params, tokens


# Batch norm's statistics, the classifiers and BERT's pooler are not among the papers' numbers.
@pytest.mark.parametrize(
    ("name", "published", "others"),
    [
        ("resnet18_imagenet", 11_689_512, 512 * 1000 + 1000 - 9_600),
        ("resnet50_imagenet", 25_557_032, 2048 * 1000 + 1000 - 53_120),
        ("vit_s16_imagenet", 22_050_664, 384 * 1000 + 1000),
        ("clip_vit_l14_image", 303_966_208, 0),
        ("clip_vit_l14_text", 123_650_304, 0),
        ("minilm_l6", 22_713_216, 384 * 384 + 384),
    ],
)
def test_parameters_are_as_many_as_published(name, published, others):
    leaves = jax.tree.leaves(shapes(PUBLISHED[name]))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == published - others


@pytest.mark.parametrize("name", PUBLISHED)
def test_features_have_the_promised_shape(name):
    encoder = PUBLISHED[name]
    sample = encoder.input.example
    found = jax.eval_shape(encoder.features, shapes(encoder), sample)
    assert found == jax.ShapeDtypeStruct((1, encoder.dim), jnp.float32)


@pytest.mark.parametrize("name", SMALL)
def test_applying_changes_nothing(name, rng):
    """Not even what batch norms have counted: there is one collection, and it is only read."""
    encoder, params, samples = make(name, rng)
    before = jax.tree.map(np.array, params)
    apply = jax.jit(encoder.features)
    first = np.asarray(apply(params, samples))
    np.testing.assert_array_equal(first, apply(params, samples))
    jax.tree.map(np.testing.assert_array_equal, before, params)
    module = encoder.module
    run = lambda params, x: module.apply({"params": params}, x, mutable=True)  # noqa: E731
    _, written = jax.eval_shape(run, params, encoder.input.example)
    assert set(written) <= {"params"}
    assert np.ptp(first, axis=0).min() > 0
    # One sample's features do not depend on the others of its batch.
    samples[1:] = samples[0]
    np.testing.assert_array_equal(apply(params, samples)[0], first[0])


@pytest.mark.parametrize("name", SMALL)
def test_no_gradient_is_taken(name, rng):
    """A step through the tower and a layer of its own differentiates the layer alone."""
    encoder, params, samples = make(name, rng)
    layer = jnp.ones((encoder.dim, 3))

    def loss(trained):
        return jnp.sum(jnp.sin(encoder.features(trained["tower"], samples) @ trained["layer"]))

    trained = {"tower": params, "layer": layer}
    gradient = jax.jit(jax.grad(loss))(trained)
    assert np.abs(gradient["layer"]).max() > 0
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient["tower"]))
    products = ("dot_general", "conv_general_dilated")
    forward, both = (str(jax.make_jaxpr(f)(trained)) for f in (loss, jax.grad(loss)))
    counts = [sum(jaxpr.count(f"{p}[") for p in products) for jaxpr in (forward, both)]
    assert counts[1] == counts[0] + 1


def test_clip_text_ends_where_the_text_ends(rng):
    encoder, params, tokens = make("clip text", rng)
    other = tokens.copy()
    other[:, 5] = 7
    apply = jax.jit(encoder.features)
    found = apply(params, tokens)
    np.testing.assert_array_equal(found, apply(params, other))
    other[:, 3] = tokens[:, 3] % 18 + 1
    assert np.abs(found - apply(params, other)).max() > 1e-4


def test_sentences_are_unit_vectors_whatever_fills_them_up(rng):
    encoder, params, tokens = make("sentence", rng)
    apply = jax.jit(encoder.features)
    found = apply(params, tokens)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    shorter = apply(params, tokens[:, :5])
    np.testing.assert_allclose(found, shorter, rtol=0, atol=1e-6)
