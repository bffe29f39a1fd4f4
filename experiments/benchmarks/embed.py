"""Embedding large tables: time and peak memory by format.

    python experiments/benchmarks/embed.py                    # 20 million rows
    python experiments/benchmarks/embed.py --rows 2000000
    python experiments/benchmarks/embed.py --quick            # ten seconds

Each row of the result is a fresh process that embeds a table of places: an identifier, a name, lon
and lat. With the small encoder (D = 16) the table takes the time; the quickstart's (D = 256, on
200,000 rows) shows what is usual. The peak is the process's maximum resident memory; the last
column compares the time of a row with that of the same input written as Parquet.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow
from pyarrow import csv, parquet

from earth_embed.config import LocationConfig, Siren, SphericalHarmonics
from earth_embed.config.quickstart import experiment
from earth_embed.encoders.location import build_location
from earth_embed.pretrained.encoder import LocationEncoder
from earth_embed.serving.embed import embed_table

LOCATIONS = {
    "small": LocationConfig(SphericalHarmonics(4), Siren((16,)), features=16),
    "quickstart": experiment.location,
}
CASES = (
    ("small", "csv", "parquet"),
    ("small", "csv", "csv"),
    ("small", "parquet", "parquet"),
    ("small", "parquet", "csv"),
    ("quickstart", "parquet", "parquet"),
    ("quickstart", "parquet", "csv"),
)
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


def untrained(name):
    """An encoder whose values do not matter."""
    location = LOCATIONS[name]
    variables = build_location(location).init(jax.random.key(0), jnp.zeros((1, 2)))
    return LocationEncoder(replace(experiment, location=location), variables["params"])


def measure(name, source, output):
    """Embeds a table; prints rows, seconds and bytes as JSON."""
    encoder = untrained(name)
    encoder(np.zeros((16_384, 2)))  # compiles
    start, cpu = time.perf_counter(), time.process_time()
    rows = embed_table(encoder, Path(source), Path(output))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu, "peak": peak}))


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000_000, help="for the small encoder")
    parser.add_argument("--quick", action="store_true", help="2,000 rows")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure)
        return
    rows = {"small": options.rows, "quickstart": 200_000}
    print(
        "| encoder | from | to | rows | written, MB | peak, MB | µs per row | of CPU time "
        "| to Parquet's |\n|---|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        made = None
        for name, before, after in CASES:
            if name != made:
                make_tables(Path(folder), 2_000 if options.quick else rows[name])
                made = name
            source, output = Path(folder, f"places.{before}"), Path(folder, f"embedded.{after}")
            command = [sys.executable, __file__, "--measure", name, str(source), str(output)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            wall, cpu = (1e6 * found[key] / found["rows"] for key in ("seconds", "cpu"))
            if after == "parquet":
                base = wall
            print(
                f"| {name} | {before} | {after} | {found['rows']:,} "
                f"| {output.stat().st_size / 1e6:,.0f} | {found['peak'] / 1e6:,.0f} "
                f"| {wall:.1f} | {cpu:.1f} | {wall / base:.2f} |",
                flush=True,
            )
            output.unlink()


if __name__ == "__main__":
    main()
