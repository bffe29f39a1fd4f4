"""How fast examples reach a step, compared with reading their files sequentially.

    EARTH_EMBED_DATA=DIR python experiments/benchmarks/input.py    # --quick for small sizes

Chips are 256×256×12 uint16, in batches of 256: the files in DIR/s2_100k_sample, repeated (or
generated ones of the same format), prepared as the data set s2_100k and read at random. Features
are 768 float32 from a .npy file, in batches of 2048. The peer reads the same files from the first
byte to the last and decodes each example, without an order, batches or a consumer.

The step stands in for an accelerator's: it takes a fixed time and no processor. "Step waits" is the
share of time that the loop spends asking for the next batch.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from earth_embed.config import Input
from earth_embed.data.order import Draw
from earth_embed.data.pipeline import Batches
from earth_embed.data.tables import open_table
from earth_embed.data.tfds import open_tfds, prepare
from earth_embed.datasets.preparation.prepare import Work, prepare_from_files
from earth_embed.datasets.preparation.prepared import prepared_files
from earth_embed.datasets.s2_100k import S2100k

LOADERS, WORKERS = ("tf.data", "python"), (1, 2, 4)
FEATURES = 768
PREFETCH = 2


def main():
    """Prepares the data and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few examples, small batches")
    parser.add_argument("--step-ms", type=float, default=200, help="duration of the step")
    parser.add_argument("--rounds", type=int, default=2, help="rounds per setting")
    options = parser.parse_args()
    rows, batch, many, large = (60, 8, 4_000, 128) if options.quick else (1_280, 256, 10**5, 2_048)
    step = options.step_ms / 1e3 / (20 if options.quick else 1)
    print(
        f"The step takes {1e3 * step:.0f} ms and no processor; this machine has {os.cpu_count()} "
        "cores. The files are in the page cache.\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        chips, note, read_chips = prepare_chips(Path(folder), rows)
        features, read_features = make_features(Path(folder), many)
        print(f"{note}\n")
        print("| examples | loader | workers | examples/s | MB/s | beside the peer | step waits |")
        print("|---|---|---|---|---|---|---|", flush=True)
        rounds = 1 if options.quick else options.rounds
        compare("chips, 256×256×12 uint16", chips, batch, read_chips, step, rounds)
        compare("features, 768 float32", features, large, read_features, step, rounds)


def compare(name, source, batch, peer, step, rounds):
    """Prints the rows for one kind of example."""
    batches = max(2, len(source) // batch)
    size = source.gather(np.arange(1))["sample"].nbytes
    sides = {(loader, workers): [] for loader in LOADERS for workers in WORKERS}
    waits = {side: [] for side in sides}
    bare = []
    for i in range(rounds):
        bare.append(peer())
        # The order alternates, so that a slow spell hits all alike.
        for loader, workers in list(sides)[:: -1 if i % 2 else 1]:
            settings = Input(loader=loader, workers=workers, prefetch=PREFETCH)
            speed, _ = drain(source, settings, batch, batches, 0)
            _, share = drain(source, settings, batch, batches, step)
            sides[loader, workers].append(speed)
            waits[loader, workers].append(share)
    rate = statistics.median(bare)
    print(
        f"| {name} | peer: files in order | | {rate:,.0f} | {rate * size / 1e6:,.0f} | 1 | |",
        flush=True,
    )
    for (loader, workers), speeds in sides.items():
        speed, share = statistics.median(speeds), statistics.median(waits[loader, workers])
        print(
            f"| {name} | {loader} | {workers} | {speed:,.0f} | {speed * size / 1e6:,.0f} | "
            f"{speed / rate:.2f} | {share:.0%} |",
            flush=True,
        )


def drain(source, settings, batch, count, step):
    """Draws `count` batches, each followed by a step; returns examples/s and the share waited."""
    stream = Batches({"a": source}, settings, seed=0)
    ahead = settings.prefetch + settings.workers  # read ahead before timing starts
    waited = 0.0
    for number in range(ahead + count):
        if number == ahead:
            start, waited = time.perf_counter(), 0.0
        asked = time.perf_counter()
        stream.read({"a": Draw(number, batch)})
        waited += time.perf_counter() - asked
        time.sleep(step)
    whole = time.perf_counter() - start
    return count * batch / whole, waited / whole


def prepare_chips(folder, rows):
    """Makes s2_100k with `rows` chips; returns its source, a note, and the peer's reader."""
    published, real = published_chips(folder, rows)
    start = time.perf_counter()
    with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):
        prepare_from_files(S2100k(published), folder / "tfds")
    seconds = time.perf_counter() - start
    builder = prepare("s2_100k", folder / "tfds")
    files = prepared_files(builder)
    size = sum(file.stat().st_size for file in files) / rows
    note = (
        f"Chips: {'the real sample' if real else 'generated'}, repeated to {rows:,}; prepared by "
        f"{Work().workers} processes at {rows / seconds:,.1f} chips/s, {size / 1e3:,.0f} kB each "
        f"(raw: {256 * 256 * 12 * 2 / 1e3:,.0f} kB)."
    )

    def read():
        from array_record.python.array_record_module import ArrayRecordReader

        count, start = 0, time.perf_counter()
        for file in files:
            reader = ArrayRecordReader(str(file))  # its defaults suit sequential reading
            for _ in range(reader.num_records()):
                builder.info.features.deserialize_example_np(reader.read())
                count += 1
            reader.close()
        return count / (time.perf_counter() - start)

    return open_tfds("s2_100k", "chip", "train", folder / "tfds", 1), note, read


def published_chips(folder, rows):
    """A folder in S2-100K's layout with an index of `rows` chips, and whether they are real."""
    sample = Path(os.environ.get("EARTH_EMBED_DATA", "/nonexistent")) / "s2_100k_sample"
    published = folder / "published"
    if real := sample.is_dir():
        header, *lines = (sample / "index.csv").read_text().splitlines()
        published.mkdir()
        (published / "images").symlink_to((sample / "images").absolute())
    else:
        header, lines = "lat,lon,fn", generate(published / "images", 20)
    repeated = [lines[i % len(lines)] for i in range(rows)]
    (published / "index.csv").write_text("\n".join([header, *repeated]) + "\n")
    return published, real


def generate(folder, count):
    """Writes smooth, noisy chips as GeoTIFF; returns their lines of the index."""
    import rasterio

    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    profile = {"driver": "GTiff", "height": 256, "width": 256, "count": 12, "dtype": "uint16"}
    profile |= {"tiled": True, "compress": "lzw", "interleave": "pixel", "crs": "EPSG:32634"}
    profile["transform"] = rasterio.Affine(10, 0, 394615, 0, -10, 6368525)
    for i in range(count):
        coarse = rng.integers(200, 8000, (12, 8, 8)).repeat(32, axis=1).repeat(32, axis=2)
        noisy = coarse + rng.integers(0, 64, coarse.shape)
        with rasterio.open(folder / f"patch_{i}.tif", "w", **profile) as file:
            file.write(noisy.astype(np.uint16))
    lat, lon = rng.uniform(-60, 60, count), rng.uniform(-180, 180, count)
    return [f"{lat[i]},{lon[i]},patch_{i}.tif" for i in range(count)]


def make_features(folder, count):
    """Makes a table with a .npy file of features; returns its source and the peer's reader."""
    rng = np.random.default_rng(0)
    file = folder / "features.npy"
    np.save(file, rng.normal(size=(count, FEATURES)).astype(np.float32))
    lonlat = np.round(rng.uniform((-180, -60), (180, 60), (count, 2)), 5)
    lines = [f"{lon},{lat}" for lon, lat in lonlat]
    (folder / "features.csv").write_text("\n".join(["lon,lat", *lines]) + "\n")

    def read():
        start = time.perf_counter()
        found = 0
        with file.open("rb") as stream:
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
            while len(part := np.fromfile(stream, np.float32, 128 * FEATURES)):
                found += len(part) // FEATURES
        return found / (time.perf_counter() - start)

    return open_table(folder / "features.csv", "features.npy", "train", 1), read


if __name__ == "__main__":
    main()
