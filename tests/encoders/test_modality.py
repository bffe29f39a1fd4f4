import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.encoders.modality import Tower, build_tower, register, windows
from earth_embed.errors import ConfigError

KEY = jax.random.key(0)


def tower(kind, features=6):
    return build_tower("m", kind, features=features, width=8, depth=2)


def test_text_padding_changes_nothing(rng):
    text = rng.integers(1, 256, (3, 20)).astype(np.uint8)
    module = tower("text")
    variables = jax.jit(module.init)(KEY, jnp.asarray(text))
    padded = np.pad(text, ((0, 0), (0, 12)))
    apply = jax.jit(module.apply)
    np.testing.assert_allclose(
        apply(variables, jnp.asarray(text)), apply(variables, jnp.asarray(padded)), atol=1e-5
    )


def test_empty_text_is_finite():
    empty = jnp.zeros((2, 16), jnp.uint8)
    module = tower("text")
    variables = jax.jit(module.init)(KEY, empty)

    @jax.jit
    @jax.value_and_grad
    def total(variables):
        return module.apply(variables, empty).sum()

    value, gradient = total(variables)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize("kind", ["image", "text", "series", "projection"])
def test_no_gradient_is_that_of_a_greatest_number(kind, sources):
    """It looks for that number among others, which a compiler may have rounded anew meanwhile."""
    samples = jnp.asarray(sources["series" if kind == "projection" else kind].train.samples[:4])
    module = tower(kind)
    variables = jax.jit(module.init)(KEY, samples)

    def total(variables):
        return module.apply(variables, samples).sum()

    greatest = "applies stablehlo.maximum across"
    assert greatest not in jax.jit(jax.grad(total)).lower(variables).as_text()
    assert greatest in jax.jit(jax.grad(jnp.max)).lower(jnp.ones(3)).as_text()


def test_windows_are_a_convolution(rng):
    x, kernel = rng.normal(size=(2, 9, 3)), rng.normal(size=(5, 3, 4))
    x, kernel = x.astype(np.float32), kernel.astype(np.float32)
    ours = windows(jnp.asarray(x), 5, "zero") @ kernel.reshape(15, 4)
    conv = nn.Conv(4, (5,), use_bias=False)
    theirs = conv.apply({"params": {"kernel": jnp.asarray(kernel)}}, jnp.asarray(x))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    circular = windows(jnp.asarray(x), 5, "wrap")
    np.testing.assert_array_equal(
        np.roll(circular, 4, axis=1), windows(jnp.roll(x, 4, axis=1), 5, "wrap")
    )


def test_image_tower_tells_pixels_apart_and_refuses_odd_sizes(rng):
    module = tower("image")
    image = rng.uniform(size=(1, 16, 24, 3)).astype(np.float32)
    variables = module.init(KEY, jnp.asarray(image))
    base = module.apply(variables, jnp.asarray(image))
    assert base.shape == (1, 6)
    for row, column in [(0, 0), (15, 23), (7, 11)]:
        changed = image.copy()
        changed[0, row, column] += 1
        assert not np.allclose(base, module.apply(variables, jnp.asarray(changed)))
    with pytest.raises(ConfigError, match="multiples of 8 pixels, found 10 × 16"):
        module.init(KEY, jnp.zeros((1, 10, 16, 3)))


def test_registry_takes_a_users_module_and_names_what_it_knows():
    @register("test_double")
    class Double(Tower):
        def __call__(self, sample):
            return jnp.tile(sample, (1, self.features))

    assert tower("test_double", 3).apply({}, jnp.ones((2, 1))).shape == (2, 3)
    with pytest.raises(ConfigError, match=r"'nonsense'.*'image', 'projection', 'series'"):
        tower("nonsense")
    with pytest.raises(ConfigError, match=r"is .*ImageTower already"):
        register("image")(Double)
    with pytest.raises(ConfigError, match="expected a subclass of Tower, found LayerNorm"):
        register("test_bare")(nn.LayerNorm)


@pytest.mark.parametrize(
    ("encoder", "samples"),
    [
        *(("series", ((12,), kind)) for kind in (np.uint16, np.float32)),
        *(("series", ((12, 2), kind)) for kind in (np.uint8, np.uint16, np.float32)),
        *(("image", ((16, 16, 2), kind)) for kind in (np.uint8, np.uint16, np.float32)),
        *(
            ("projection", each)
            for each in ((((12,), np.float32), ((12,), np.uint8), ((16, 16, 3), np.uint8)))
        ),
    ],
)
def test_every_documented_kind_of_sample_is_accepted(encoder, samples):
    assert type(tower(encoder)).accepts(samples[0], np.dtype(samples[1]))
