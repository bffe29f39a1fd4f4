"""Chips in the layout that S2-100K is published in, made for the tests."""

import os
import signal
import subprocess
import sys

import numpy as np
import rasterio

from tests.conftest import random_places


def write_chip(path, chip):
    """A GeoTIFF of (H, W, bands), as those of S2-100K: tiled, LZW, bands interleaved."""
    height, width, bands = chip.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": bands,
        "dtype": chip.dtype,
        "tiled": True,
        "compress": "lzw",
        "interleave": "pixel",
        "crs": "EPSG:32634",
        "transform": rasterio.Affine(10, 0, 394615, 0, -10, 6368525),
    }
    with rasterio.open(path, "w", **profile) as file:
        file.write(chip.transpose(2, 0, 1))


def make_chip(rng):
    """A smooth picture with some noise, (256, 256, 12) uint16."""
    coarse = rng.integers(200, 8000, (8, 8, 12)).repeat(32, axis=0).repeat(32, axis=1)
    return (coarse + rng.integers(0, 16, coarse.shape)).astype(np.uint16)


def write_index(folder, lonlat, files):
    places = zip(lonlat, files, strict=True)
    rows = [f"{lat},{lon},https://example.org/{file},{file}" for (lon, lat), file in places]
    (folder / "index.csv").write_text("\n".join(["lat,lon,url,fn", *rows]) + "\n")


def write_source(folder, count, seed=0):
    """A folder of chips; returns their places (count, 2)."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    lonlat = random_places(rng, count)
    files = [f"patch_{number}.tif" for number in rng.permutation(10 * count)[:count]]
    write_index(folder, lonlat, files)
    for file in files:
        write_chip(folder / "images" / file, make_chip(rng))
    return lonlat, files


def start(*arguments, module="earth_embed", **environment):
    """`earth-embed prepare s2_100k` as a process group of its own."""
    command = [sys.executable, "-m", module, "prepare", "s2_100k", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"} | environment,
    )


def start_held(chip, reached, *arguments):
    """The same, but it never gets past a chip; the file `reached` says that it has come to it."""
    return start(*arguments, module="tests.datasets.held", HELD_CHIP=chip, REACHED=str(reached))


def group_is_alive(process):
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def end(process):
    """Whatever became of a test, none of its processes stays."""
    if group_is_alive(process):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def shards(folder):
    """The contents of a data set's files by name."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.rglob("s2_100k-*"))
        if path.suffix != ".json"
    }


def marks(folder):
    """What tells whether a file was written again, by name."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("s2*")}


def flip_a_bit(path):
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)
