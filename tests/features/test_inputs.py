"""What frozen encoders read: bands, sizes, units, and clear errors."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from earth_embed.errors import DataError
from earth_embed.features.frozen import PUBLISHED
from earth_embed.features.inputs import ImageInput, TextInput, with_cirrus


def test_the_missing_band_is_the_eleventh():
    bands = ["1", "2", "3", "4", "5", "6", "7", "8", "8A", "9", "11", "12"]
    chips = np.arange(1, 13, dtype=np.uint16) * np.ones((2, 3, 3, 1), np.uint16)
    found = with_cirrus(jnp.asarray(chips))
    assert found.dtype == jnp.uint16
    bands.insert(bands.index("11"), "10")
    assert bands[10] == "10"
    np.testing.assert_array_equal(found[..., bands.index("10")], 0)
    np.testing.assert_array_equal(jnp.delete(found, 10, axis=-1), chips)


def test_sentinel2_is_the_centre_of_a_chip_over_ten_thousand(rng):
    chips = rng.integers(0, 12_000, (2, 256, 256, 12)).astype(np.uint16)
    read = PUBLISHED["resnet50_sentinel2"].input
    found = read.prepare(jnp.asarray(chips))
    assert found.shape == (2, 224, 224, 13)
    expected = np.insert(chips[:, 16:240, 16:240].astype(np.float32), 10, 0, axis=-1) / 10_000
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    whole = np.insert(chips, 10, 0, axis=-1)
    np.testing.assert_array_equal(found, read.prepare(jnp.asarray(whole)))


@pytest.mark.parametrize(
    ("method", "filter"), [("linear", Image.BILINEAR), ("cubic", Image.BICUBIC)]
)
@pytest.mark.parametrize("shape", [(40, 60), (12, 9)])
def test_images_are_resized_as_pillow_does(method, filter, shape, rng):
    """By its filters, which widen with the reduction; in float32, without its rounding to uint8."""
    grey = rng.uniform(0, 255, shape).astype(np.float32)
    read = ImageInput(16, 16, (0.0,), (1.0,), method)
    found = read.prepare(jnp.asarray(grey)[None, :, :, None])[0, :, :, 0]
    height, width = (side * 16 // min(shape) for side in shape)
    whole = np.asarray(Image.fromarray(grey).resize((width, height), filter))
    top, left = (height - 16) // 2, (width - 16) // 2
    np.testing.assert_allclose(found, whole[top : top + 16, left : left + 16], atol=0.05)


def test_pixels_are_standardised_in_their_own_units():
    read = PUBLISHED["resnet50_imagenet"].input
    white = read.prepare(jnp.full((1, 224, 300, 3), 255, jnp.uint8))
    expected = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(white[0, 0, 0], expected, rtol=1e-5)


def test_other_samples_are_refused():
    image, text = PUBLISHED["resnet50_imagenet"].input, TextInput(8, 20)
    for shape in ((2, 30, 30, 4), (2, 30, 30), (2, 12)):
        with pytest.raises(DataError, match=r"of 3 channels; found samples of shape \(.*\)"):
            image.prepare(jnp.zeros(shape, jnp.uint8))
    for shape in ((1, 60_000, 3, 3), (1, 0, 9, 3), (1, 0, 0, 3)):
        found = f"of at most 67,108,864 pixels when .* has 256; found {shape[1]} × {shape[2]}"
        with pytest.raises(DataError, match=found):
            image.prepare(jnp.zeros(shape, jnp.uint8))
    with pytest.raises(DataError, match="12 or 13 channels"):
        PUBLISHED["vit_s16_sentinel2"].input.prepare(jnp.zeros((1, 30, 30, 3), jnp.uint8))
    for tokens in (jnp.zeros((2, 9), jnp.int32), jnp.zeros((2, 4), jnp.uint8)):
        with pytest.raises(DataError, match=r"expected int32 tokens of shape \(N, 8 or less\)"):
            text.prepare(tokens)
