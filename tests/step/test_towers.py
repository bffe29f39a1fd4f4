import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.config import Modality
from earth_embed.errors import ConfigError
from earth_embed.step.towers import Towers


@pytest.fixture
def standard_promotion():
    """Flax's LayerNorm mixes bfloat16 with its float32 statistics, which strict promotion bars."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.usefixtures("standard_promotion")
def test_bfloat16_compute_keeps_float32_parameters_and_outputs(make_experiment, sources):
    samples = {name: split.train.samples[:4] for name, split in sources.items()}
    outputs = {}
    for dtype in ("float32", "bfloat16"):
        towers = Towers(make_experiment(compute_dtype=dtype))
        params = jax.jit(partial(towers.init, samples))()
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
        places = jnp.asarray(sources["text"].train.lonlat[:4])
        outputs[dtype] = [
            jax.jit(towers.encode_location)(params, places),
            *(
                jax.jit(towers.encode_sample, static_argnums=1)(params, name, jnp.asarray(values))
                for name, values in samples.items()
            ),
        ]
    for exact, rounded in zip(*outputs.values(), strict=True):
        assert rounded.dtype == jnp.float32
        assert not np.array_equal(exact, rounded)
        np.testing.assert_allclose(exact, rounded, atol=0.1 * float(np.abs(exact).max()))


def test_unsigned_samples_are_standardised_like_the_numbers_they_are(make_experiment, rng):
    chips = rng.integers(0, 10_000, (3, 16, 16, 12)).astype(np.uint16)
    by_hand = (chips.astype(np.float32) - 1500) / 2500

    def towers(mean, std):
        modality = Modality("chip", "memory", "chip", "image", width=8, depth=1, mean=mean, std=std)
        return Towers(dataclasses.replace(make_experiment("pair"), modalities=(modality,)))

    params = jax.jit(partial(towers(1500.0, 2500.0).init, {"chip": chips}))()
    on_device = towers(1500.0, 2500.0).encode_sample(params, "chip", jnp.asarray(chips))
    expected = towers(0.0, 1.0).encode_sample(params, "chip", jnp.asarray(by_hand))
    np.testing.assert_allclose(on_device, expected, rtol=1e-5, atol=1e-6)


FLOATS, BYTES, IMAGE = ((12,), np.float32), ((12,), np.uint8), ((16, 16, 3), np.uint8)
WRONG = [
    ("text", FLOATS, r"expected texts \(length\) uint8; found samples float32 of shape \(12,\)"),
    ("text", IMAGE, r"found samples uint8 of shape \(16, 16, 3\)"),
    ("text", ((12,), np.uint16), r"found samples uint16 of shape \(12,\)"),
    ("series", BYTES, r"expected series \(time\) float32 or uint16, or .*; found samples uint8 of"),
    ("series", IMAGE, r"found samples uint8 of shape \(16, 16, 3\)"),
    ("image", FLOATS, r"expected images \(H, W, C\); found samples float32 of shape \(12,\)"),
    ("image", BYTES, r"found samples uint8 of shape \(12,\)"),
]


@pytest.mark.parametrize(("encoder", "samples", "found"), WRONG)
def test_samples_of_another_kind_are_refused_before_the_first_step(
    make_experiment, encoder, samples, found
):
    experiment = make_experiment("pair", (encoder,))
    with pytest.raises(ConfigError, match=rf"modalities\['{encoder}'\]\.encoder = .*{found}"):
        Towers(experiment).init({encoder: jax.ShapeDtypeStruct((1, *samples[0]), samples[1])})


def test_a_towers_start_depends_on_its_own_name_alone(make_experiment, sources):
    samples = {name: split.train.samples[:1] for name, split in sources.items()}
    three = jax.jit(partial(Towers(make_experiment("melt")).init, samples))()
    one = jax.jit(partial(Towers(make_experiment("pair")).init, samples))()
    for key in one:
        jax.tree.map(np.testing.assert_array_equal, one[key], three[key])
