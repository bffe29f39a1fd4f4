"""Embedding large tables: time and peak memory by format.

    python experiments/benchmarks/tables.py                    # 20 million rows
    python experiments/benchmarks/tables.py --rows 2000000
    python experiments/benchmarks/tables.py --quick            # ten seconds

Each row of the result is a fresh process that embeds a table of places (an identifier, a name, lon
and lat) with a small encoder, so that the table, not the encoder, takes the time. The peak is that
process's maximum resident memory; the last column compares its time with that of the same input
written as Parquet.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow
from pyarrow import csv, parquet

from earth_embed.config import (
    Experiment,
    Input,
    LocationConfig,
    Modality,
    Pair,
    Siren,
    SphericalHarmonics,
)
from earth_embed.encoders.location import build_location
from earth_embed.pretrained.encoder import LocationEncoder
from earth_embed.serving.embed import embed_table

DIM = 16
CASES = (("csv", "parquet"), ("csv", "csv"), ("parquet", "parquet"), ("parquet", "csv"))
CHUNK = 500_000


def make_tables(folder, rows):
    """Writes the same places as places.csv and places.parquet."""
    rng = np.random.default_rng(0)
    schema = pyarrow.schema(
        {"id": pyarrow.string(), "name": pyarrow.string(), "lon": "float64", "lat": "float64"}
    )
    with (
        csv.CSVWriter(folder / "places.csv", schema) as text,
        parquet.ParquetWriter(folder / "places.parquet", schema) as binary,
    ):
        for start in range(0, rows, CHUNK):
            numbers = range(start, min(start + CHUNK, rows))
            ids = [f"{number:09}" for number in numbers]
            names = [f"place {number}, or so" for number in numbers]
            lon = rng.uniform(-180, 180, len(ids)).round(5)
            lat = rng.uniform(-90, 90, len(ids)).round(5)
            table = pyarrow.table([ids, names, lon, lat], schema=schema)
            text.write(table)
            binary.write(table)


def small_encoder():
    """An encoder that costs little; its values do not matter."""
    location = LocationConfig(SphericalHarmonics(4), Siren((16,)), features=DIM)
    modality = Modality("none", dataset="memory", field="sample")
    experiment = Experiment(
        name="small", modalities=(modality,), method=Pair(), location=location, input=Input()
    )
    variables = build_location(location).init(jax.random.key(0), jnp.zeros((1, 2)))
    return LocationEncoder(experiment, variables["params"])


def measure(source, output):
    """Embeds a table; prints seconds and bytes as JSON."""
    encoder = small_encoder()
    encoder(np.zeros((16_384, 2)))  # compiles
    start = time.perf_counter()
    rows = embed_table(encoder, source, output)
    seconds = time.perf_counter() - start
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"rows": rows, "seconds": seconds, "peak": peak}))


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--quick", action="store_true", help="20,000 rows")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure)
        return
    print(f"D = {DIM}\n")
    print(
        "| from | to | rows | read, MB | written, MB | µs per row | peak, MB | to Parquet's time |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        make_tables(Path(folder), 20_000 if options.quick else options.rows)
        for before, after in CASES:
            source, output = Path(folder, f"places.{before}"), Path(folder, f"embedded.{after}")
            command = [sys.executable, __file__, "--measure", str(source), str(output)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            found = json.loads(done.stdout)
            each = found["seconds"] / found["rows"] * 1e6
            if after == "parquet":
                base = each
            read, written = (file.stat().st_size / 1e6 for file in (source, output))
            output.unlink()
            print(
                f"| {before} | {after} | {found['rows']:,} | {read:,.0f} | {written:,.0f} "
                f"| {each:.1f} | {found['peak'] / 1e6:,.0f} | {each / base:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
