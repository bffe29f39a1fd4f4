"""Small real data instead of the paper's: features of places, and layers to predict.

Reads files in the folder EARTH_EMBED_DATA. Writes tables for training and a raster for evaluation:

    image       two seasons of Blue Marble around 30,000 places on land
    text        one sentence of Wikivoyage about each of 17,402 places
    photo       scene classes of the 2,997 photographs of Im2GPS3k
    vegetation  NDVI and land cover around 30,000 places on land

All are frozen features: statistics or counts, as half-whitened principal components.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet

from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.datasets.packaged import draw_on_land, nearest
from earth_embed.datasets.training_sets import cut_patches
from earth_embed.errors import DataError
from earth_embed.files import atomic_output
from earth_embed.tasks.user_tasks import Task

FEATURES = {"image": 192, "text": 256, "photo": 64, "vegetation": 32}
"""Principal components kept per modality."""

CLIMATE = ("bio1", "bio12", "bio4")
"""Columns of BIOCLIM: annual temperature, annual precipitation, seasonality of temperature."""

FILES = (
    "imagery/blue_marble_summer_5400x2700.jpg",
    "imagery/blue_marble_january_5400x2700.jpg",
    "text/wikivoyage_places.jsonl",
    "photos/im2gps3k_scene_labels.csv",
    "landcover/modis_igbp2019_3840x1920.png",
    "vegetation/copernicus_ndvi_june21_2520x1260.png",
    "climate/bioclim_0p5deg_land.npz",
)

PLACES = 30_000


def prepare(source: Path, folder: Path, whitening: float = 0.5) -> None:
    """Writes the tables and the raster that do not exist yet.

    Args:
        source: The folder EARTH_EMBED_DATA.
        folder: Where to write.
        whitening: See `principal_components`.

    Raises:
        DataError: source files are missing; the message names them.
    """
    missing = [name for name in FILES if not (source / name).is_file()]
    made = all((folder / f"{name}.parquet").exists() for name in FEATURES)
    if missing and not (made and (folder / "climate.tif").exists()):
        raise DataError(f"EARTH_EMBED_DATA = {source} lacks {', '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    make = {"image": _images, "text": _texts, "photo": _photos, "vegetation": _vegetation}
    for name, size in FEATURES.items():
        if not (folder / f"{name}.parquet").exists():
            lonlat, values = make[name](source)
            features = principal_components(values, size, whitening)
            _write_table(folder / f"{name}.parquet", lonlat, features)
    if not (folder / "climate.tif").exists():
        _write_climate(source, folder / "climate.tif")


def small_tasks(folder: Path) -> tuple[Task, ...]:
    """The climate tasks, to score beside the package's own labels."""
    raster = folder / "climate.tif"
    return (
        Task("temperature", raster, "1"),
        Task("precipitation", raster, "2", "log"),
        Task("temperature_seasonality", raster, "3"),
    )


def principal_components(
    values: np.ndarray, count: int, whitening: float = 0.5, seed: int = 0
) -> np.ndarray:
    """Projects rows onto their first principal components.

    Args:
        values: (N, n).
        count: Number of components.
        whitening: Components are divided by this power of their standard deviation. With 0 the
            strongest dominates every distance (brightness is 77 % of an image's variance); with 1
            noise counts as much as signal.
        seed: Seed of the randomised decomposition.

    Returns:
        (N, count) float32 of mean 0 and overall variance 1, the strongest column first.
    """
    from sklearn.decomposition import PCA

    components = PCA(count, svd_solver="randomized", random_state=seed).fit_transform(values)
    components /= components.std(axis=0) ** whitening
    return (components / components.std()).astype(np.float32)


def _images(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """8 × 8 means, and each season's mean, deviation and texture, of 240 km around each place."""
    lonlat = draw_on_land("blue_marble", PLACES, seed=0)
    parts = []
    for season in ("summer", "january"):
        raster = _pixels(source / f"imagery/blue_marble_{season}_5400x2700.jpg", "RGB")
        patches = cut_patches(raster, lonlat).astype(np.float32) / 255  # (N, 32, 32, 3)
        coarse = patches.reshape(PLACES, 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(PLACES, -1)
        centre = patches[:, 12:20, 12:20].mean(axis=(1, 2))
        texture = np.abs(np.diff(patches, axis=1)).mean(axis=(1, 2))
        statistics = [patches.mean(axis=(1, 2)), patches.std(axis=(1, 2)), centre, texture]
        parts += [coarse / 4, *(4 * part for part in statistics)]
    return lonlat, np.concatenate(parts, axis=1)


def _texts(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """TF-IDF of words and word pairs, projected onto 512 singular vectors."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    path = source / "text/wikivoyage_places.jsonl"
    places = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    weights = TfidfVectorizer(ngram_range=(1, 2), min_df=5, sublinear_tf=True, stop_words="english")
    found = weights.fit_transform([place["text"] for place in places])
    values = TruncatedSVD(512, random_state=0).fit_transform(found)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    return np.array([[place["lon"], place["lat"]] for place in places]), values


def _photos(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Places365 classes at three levels, and the probabilities of the coarsest level."""
    with (source / "photos/im2gps3k_scene_labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    levels = (("s3_label", 3), ("s16_label", 16), ("s365_label", 365))
    one_hot = [np.eye(n)[[int(row[name]) for row in rows]] for name, n in levels]
    names = ("prob_indoor", "prob_natural", "prob_urban")
    shares = np.array([[float(row[name]) for name in names] for row in rows])
    lonlat = np.array([[float(row["lon"]), float(row["lat"])] for row in rows])
    return lonlat, np.concatenate([*one_hot, shares], axis=1)


def _vegetation(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """NDVI at 5 × 5 points and the share of each land cover at 11 × 11 points, within 100 km."""
    lonlat = draw_on_land("linke_turbidity", PLACES, seed=0, south=-60.0)
    cover = _pixels(source / "landcover/modis_igbp2019_3840x1920.png", "L")
    greenness = _pixels(source / "vegetation/copernicus_ndvi_june21_2520x1260.png", "L")
    near = np.stack([nearest(cover, _around(lonlat, *step)) for step in _steps(11)], axis=1)
    shares = np.stack([(near == code).mean(axis=1) for code in (*range(1, 17), 255)], axis=1)
    points = np.stack([nearest(greenness, _around(lonlat, *step)) for step in _steps(5)], axis=1)
    ndvi = np.where(points == 255, 0.0, points * 0.004 - 0.08)
    return lonlat, np.concatenate([4 * shares, ndvi], axis=1)


def _steps(side: int) -> list[tuple[float, float]]:
    """A grid of offsets (east, north) in km."""
    at = np.linspace(-100, 100, side)
    return [(float(x), float(y)) for x in at for y in at]


def _around(lonlat: np.ndarray, east: float, north: float) -> np.ndarray:
    """Places at an offset in km; near a pole, at most 90° further east."""
    lon, lat = lonlat.astype(np.float64).T
    degree = np.radians(1) * EARTH_RADIUS_KM
    away = np.clip(east / (degree * np.cos(np.radians(lat))), -90, 90)
    return np.stack(
        [(lon + away + 180) % 360 - 180, np.clip(lat + north / degree, -90, 90)], axis=1
    )


def _pixels(path: Path, mode: str) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        # The stored numbers of a grey or palette image are codes: keep them.
        return np.asarray(image.convert(mode) if mode == "RGB" else image)


def _write_table(path: Path, lonlat: np.ndarray, features: np.ndarray) -> None:
    with atomic_output(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, features)
    table = pyarrow.table({"lon": lonlat[:, 0], "lat": lonlat[:, 1]})
    with atomic_output(path) as temporary:
        parquet.write_table(table, temporary)


def _write_climate(source: Path, path: Path) -> None:
    """BIOCLIM's half-degree cells as a raster with a band for each of `CLIMATE`."""
    import rasterio
    from affine import Affine

    with np.load(source / "climate/bioclim_0p5deg_land.npz", allow_pickle=False) as arrays:
        columns, data = arrays["columns"].tolist(), arrays["data"]
    column = np.floor((data[:, columns.index("x")] + 180) * 2).astype(int)
    row = np.floor((90 - data[:, columns.index("y")]) * 2).astype(int)
    bands = np.full((len(CLIMATE), 360, 720), np.nan, np.float32)
    for band, name in zip(bands, CLIMATE, strict=True):
        band[row, column] = data[:, columns.index(name)]
    profile = {"driver": "GTiff", "width": 720, "height": 360, "dtype": "float32"}
    profile |= {"count": len(bands), "crs": "EPSG:4326", "nodata": np.nan}
    profile["transform"] = Affine(0.5, 0, -180, 0, -0.5, 90)
    with (
        atomic_output(path) as temporary,
        rasterio.open(temporary, "w", **profile) as file,
    ):
        file.write(bands)
