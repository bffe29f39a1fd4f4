"""Compression of chips on disk: their size, and the CPU time to write and read them.

    EARTH_EMBED_DATA=DIR python experiments/benchmarks/storage.py    # --quick for small sizes

Chips are 256×256×12 uint16, as in input.py. CPU time instead of wall time, since reading and
decoding use several threads.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter

from earth_embed.cells import is_held_out
from earth_embed.datasets.preparation.pieces import WRITER_OPTIONS
from earth_embed.datasets.s2_100k import S2100k
from input import published_chips

COMPRESSIONS = ("uncompressed", "snappy", "zstd:-3", "zstd:1", "zstd:3")


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few chips, one round")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        published, real = published_chips(Path(folder), 20 if quick else 200)
        dataset = S2100k(published)
        index = dataset.read_index(make=None)
        rows = index.rows(~is_held_out(index.lonlat))
        records = list(dataset.examples(tuple(rows)))
        print(f"{'Real' if real else 'Generated'} chips; the data sets have {WRITER_OPTIONS}.\n")
        times = {name: ([], []) for name in COMPRESSIONS}
        files = {name: Path(folder) / name.replace(":", "") for name in COMPRESSIONS}
        order = np.random.default_rng(0).permutation(len(records)).tolist()
        for i in range(1 if quick else 5):
            for name in COMPRESSIONS[:: -1 if i % 2 else 1]:  # so that a slow spell hits all alike
                writing, reading = times[name]
                writing.append(processor_ms(lambda n=name: write(files[n], n, records)))
                reader = ArrayRecordDataSource([str(files[name])])
                reading.append(processor_ms(lambda r=reader: r.__getitems__(order)))
        print("| array_record | kB a chip | to write, ms a chip | to read at random, ms a chip |")
        print("|---|---|---|---|")
        for name, (writing, reading) in times.items():
            size = files[name].stat().st_size / len(records) / 1e3
            milliseconds = [statistics.median(ms) / len(records) for ms in (writing, reading)]
            print(f"| {name} | {size:,.0f} | {milliseconds[0]:.1f} | {milliseconds[1]:.1f} |")


def write(file, compression, records):
    writer = ArrayRecordWriter(str(file), f"group_size:1,{compression}")
    for record in records:
        writer.write(record)
    writer.close()


def processor_ms(call):
    """CPU time of a call over all threads, ms."""
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


if __name__ == "__main__":
    main()
