"""Draws a small world map of every positional encoding, for the encoder gallery.

    python docs/figures/gallery.py          # writes docs/pages/gallery/*.png, about a minute

Left: three random linear functions of the features as red, green and blue, which shows the scales
that a linear layer can draw from them. Right: the similarity of every place to Fiji, which lies
next to the antimeridian: with a seam there, the left edge of the map is unlike the right one.
Nothing is trained.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from PIL import Image

from earth_embed import config
from earth_embed.coordinates import equal_area
from earth_embed.datasets.packaged import on_land
from earth_embed.encoders.positional import Encoding

matplotlib.use("agg")

import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parents[1] / "pages" / "gallery"

ENCODINGS: dict[str, Encoding] = {
    "spherical_harmonics": config.SphericalHarmonics(degree=10),
    "sphere_fourier": config.SphereFourier(),
    "cartesian": config.Cartesian(),
    "wrap": config.Wrap(),
    "equal_earth": config.EqualEarth(),
    "equal_earth_fourier": config.EqualEarthFourier(),
    "space2vec": config.Space2Vec("theory"),
    "sphere2vec": config.Sphere2Vec("C+"),
    "hash_grid": config.HashGrid(),
    "spherical_voronoi": config.SphericalVoronoi(),
    "concatenation": config.Concatenation((config.SphericalHarmonics(10), config.HashGrid())),
}
"""One of each member of `Encoding`; the page has a section for each, under the same name."""

FIJI = np.array([[178.4, -18.1]])
DEGREES = 1.0
BATCH = 8192


def main() -> None:
    """Writes one PNG for each encoding."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, encoding in ENCODINGS.items():
        path = OUTPUT / f"{name}.png"
        path.write_bytes(draw(encoding))
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def draw(encoding: Encoding) -> bytes:
    """The two maps of an encoding, as a PNG of 256 colours."""
    lon = np.arange(-180 + DEGREES / 2, 180, DEGREES)
    lat = np.arange(90 - DEGREES / 2, -90, -DEGREES)
    grid = np.stack(np.meshgrid(lon, lat), axis=-1)  # (H, W, 2)
    colours, similarity = maps(encoding, grid.reshape(-1, 2))

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.3), dpi=100)
    extent = (-180, 180, -90, 90)
    left.imshow(colours.reshape(*grid.shape[:2], 3), extent=extent)
    right.imshow(similarity.reshape(grid.shape[:2]), extent=extent, cmap="magma", vmin=-1, vmax=1)
    right.plot(*FIJI[0], marker="o", ms=5, mfc="none", mec="#37c6ff", mew=1.6, clip_on=False)
    land = on_land(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    for axes, ink in ((left, "#10141a"), (right, "#e8e8e8")):
        axes.contour(lon, lat, land, levels=[0.5], colors=ink, linewidths=0.5)
        axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.02)
    png = io.BytesIO()
    figure.savefig(png, format="png", facecolor="white")
    plt.close(figure)
    # A palette makes the file three times smaller; dithering hides its steps.
    image, small = Image.open(png).convert("RGB"), io.BytesIO()
    palette = image.quantize(200)
    image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(small, "png")
    return small.getvalue()


def maps(encoding: Encoding, lonlat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (N, 3) in [0, 1] and similarities to Fiji (N,) of the encoding's features.

    The features' mean is that of an equal-area sample of the globe; the similarity is the cosine of
    features minus that mean.
    """
    encode = compiled(encoding)
    sample = encode(equal_area(4096))
    mean = sample.mean(axis=0)
    axes = np.random.default_rng(0).normal(size=(sample.shape[1], 3)).astype(np.float32)
    fiji = encode(FIJI)[0] - mean
    low, high = np.percentile((sample - mean) @ axes, (2, 98), axis=0)

    colours, similarity = [], []
    for start in range(0, len(lonlat), BATCH):
        centred = encode(lonlat[start : start + BATCH]) - mean
        colours.append(np.clip((centred @ axes - low) / (high - low), 0, 1))
        similarity.append(centred @ fiji / np.linalg.norm(centred, axis=1) / np.linalg.norm(fiji))
    return np.concatenate(colours), np.concatenate(similarity)


def compiled(encoding: Encoding) -> Any:
    """A function from (N, 2) degrees to features (N, n)."""
    module = encoding.module()
    params = module.init(jax.random.key(0), jnp.zeros((1, 2), jnp.float32))

    @jax.jit
    def features(lonlat: jax.Array) -> jax.Array:
        # Harmonics exist only as a factor of a matrix product.
        return module.apply(params, lonlat) @ jnp.eye(module.width, dtype=jnp.float32)

    return lambda lonlat: np.asarray(features(jnp.asarray(lonlat, jnp.float32)))


if __name__ == "__main__":
    main()
