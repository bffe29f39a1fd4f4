"""Makes the pieces of a preparation, in local processes or on an Apache Beam runner."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from earth_embed.datasets.preparation.pieces import Piece, read_record
from earth_embed.errors import EarthEmbedError, require
from earth_embed.progress import bar, every

Make = Callable[[Piece], None]
"""Makes one piece. It must be picklable, since it is sent to other processes."""


def run_processes(make: Make, pieces: Sequence[Piece], workers: int) -> None:
    """Makes pieces in `workers` processes on this machine; 1 for only this process.

    Raises:
        EarthEmbedError: a piece cannot be made, or a process was killed.
    """
    if workers == 1:
        for piece in pieces:
            make(piece)
        return
    before = set(multiprocessing.active_children())
    # Spawned, not forked: JAX and TensorFlow may have threads in this process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        try:
            for done in as_completed([pool.submit(make, piece) for piece in pieces]):
                done.result()
        except BaseException as error:
            # Do not let the user wait for the pieces in progress.
            pool.shutdown(wait=False, cancel_futures=True)
            started = set(multiprocessing.active_children()) - before
            for worker in started:
                worker.terminate()
            for worker in started:  # what they leave behind can then be removed
                worker.join()
            if isinstance(error, BrokenProcessPool):
                raise EarthEmbedError(
                    "a worker process was killed, perhaps for want of memory; the pieces that are "
                    "done are kept: start again, with fewer workers if need be"
                ) from error
            raise


def run_beam(make: Make, pieces: Sequence[Piece], runner: str, options: Sequence[str] = ()) -> None:
    """Makes pieces on an Apache Beam runner, whose workers must see the same folders.

    `runner` is a name such as "DirectRunner" or "DataflowRunner"; an option is "name=value".

    Raises:
        EarthEmbedError: Beam is not installed, or the pipeline failed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise require("apache-beam", "beam", f"the runner {runner!r}") from error
    try:
        flags = PipelineOptions([f"--{option}" for option in options], runner=runner)
        with beam.Pipeline(options=flags) as pipeline:
            # The reshuffle lets pieces go to different workers; otherwise they stay together.
            _ = pipeline | beam.Create(list(pieces)) | beam.Reshuffle() | beam.Map(make)
    except Exception as error:  # each runner raises its own
        message = (str(error).strip() or repr(error)).splitlines()[-1]
        raise EarthEmbedError(f"the Beam runner {runner!r} failed: {message}") from error


@contextlib.contextmanager
def progress(
    folder: Path,
    pieces: Sequence[Piece],
    todo: Sequence[Piece],
    doing: str = "prepare",
    unit: str = " rows",
) -> Iterator[None]:
    """Shows a progress bar, by watching for records in the folder, so it works with any runner.

    Of all `pieces`, those `todo` have no records yet; `unit` is what a row of a piece is.
    """
    rows = sum(len(piece.rows) for piece in pieces)
    left = {piece.file: len(piece.rows) for piece in todo}
    before = rows - sum(left.values())
    with bar(total=rows, initial=before, desc=doing, unit=unit) as shown:

        def look() -> None:
            done = [file for file in left if read_record(folder / file)]
            rows = sum(map(left.pop, done))
            made = f"{len(pieces) - len(left)} of {len(pieces)} pieces"
            shown.set_postfix_str(made, refresh=False)
            shown.update(rows)

        look()
        try:
            with every(1, look):
                yield
        finally:
            look()


def _start_worker() -> None:
    """Leaves Ctrl-C to the parent process, and ends when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
