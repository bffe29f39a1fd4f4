"""Prepares a large data set from its published files: in pieces, in parallel, resumed, checked.

The pieces grow in a folder incomplete.VERSION beside the data set's own. When all are there, TFDS's
metadata are written and the folder is renamed: TFDS knows a data set whole or not at all.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earth_embed.data.pieces import (
    Examples,
    Piece,
    checksum,
    faults,
    forget,
    make_piece,
    read_record,
    remove_leftovers,
)
from earth_embed.data.runners import progress, run_beam, run_processes
from earth_embed.data.tfds_source import PLAN_FILE, has_checksums, import_tfds, prepared_files
from earth_embed.data.totals import Totals
from earth_embed.errors import ConfigError, DataError, EarthEmbedError
from earth_embed.files import one_at_a_time, write_text

FROM_FILES = ("s2_100k",)
"""The data sets that are made from published files."""


@dataclass(frozen=True)
class Work:
    """How the files of a data set are made. Only `rows_per_file` changes their bytes."""

    workers: int = os.cpu_count() or 1
    """Processes of this machine, unless a runner is named."""
    rows_per_file: int = 256
    """Rows of the index that each file is made from."""
    runner: str | None = None
    """A runner of Apache Beam, such as DirectRunner or DataflowRunner, instead of processes."""
    runner_options: tuple[str, ...] = ()
    """Options of the runner, as name=value."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        for name in ("workers", "rows_per_file"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: expected 1 or more")


def prepare_from_files(
    dataset: str,
    source: Path,
    data_dir: Path | None = None,
    work: Work | None = None,
    verify: bool = False,
) -> str:
    """Makes what is not there yet or is damaged; nothing else is touched.

    A second preparation of the same data set waits for the first one.

    Args:
        dataset: One of FROM_FILES.
        source: The folder of the published files.
        data_dir: Where TFDS data sets are kept; None for TFDS's default.
        work: How the files are made.
        verify: Read the finished files and compare their checksums; else their sizes alone.

    Returns:
        One line that says what there is, and what was skipped.

    Raises:
        DataError: the source cannot be used, or differs from what the data set was begun with.
        CoordinateError: a coordinate of the index is missing or out of range.
        EarthEmbedError: something cannot be written, or a runner failed.
    """
    final = Path(_builder(dataset, data_dir).data_path).absolute()
    try:
        with one_at_a_time(final.parent):
            return _prepare(dataset, source, data_dir, final, work or Work(), verify)
    except OSError as error:
        raise EarthEmbedError(f"cannot write {final.parent}: {error.strerror}") from error


def _prepare(
    dataset: str, source: Path, data_dir: Path | None, final: Path, work: Work, verify: bool
) -> str:
    unfinished = final.with_name(f"incomplete.{final.name}")
    folder = final if final.exists() else unfinished
    if folder is final and not (final / PLAN_FILE).exists():
        raise DataError(f"{final} has no {PLAN_FILE}: it was not made by this command")
    pieces, examples = _plan(dataset, source, folder, work.rows_per_file)
    damage = faults([folder / piece.file for piece in pieces], work.workers, verify)
    for file, what in damage.items():
        if read_record(file) is not None:  # without one it was never finished
            print(f"{what}; it is made anew", file=sys.stderr)
    todo = [piece for piece in pieces if folder / piece.file in damage]
    if todo or folder is unfinished:
        if folder is final:
            _rename(final, unfinished)
        remove_leftovers(unfinished)
        for piece in todo:
            forget(unfinished / piece.file)
        with progress(unfinished, pieces, todo):
            make = functools.partial(make_piece, folder=unfinished, examples=examples)
            if work.runner is None:
                run_processes(make, todo, work.workers)
            else:
                run_beam(make, todo, work.runner, work.runner_options)
        _finish(_builder(dataset, data_dir), unfinished, Totals.of(unfinished, pieces))
        _rename(unfinished, final)
    return f"prepared {final}: {Totals.of(final, pieces)}"


def verify(dataset: str, data_dir: Path | None, workers: int) -> str:
    """Compares every file of a prepared data set with its checksum.

    Returns:
        One line that says how much was read.

    Raises:
        DataError: the data set is not there or has no checksums, or a file is damaged; the message
            names each, what was expected and what found.
    """
    builder = _builder(dataset, data_dir)
    folder = Path(builder.data_path)
    if not has_checksums(builder):
        raise DataError(
            f"the data set {dataset!r} is not prepared in {folder}: "
            f"earth-embed prepare {dataset} --source DIR makes it"
        )
    files = prepared_files(builder)
    if damage := faults(files, workers, contents=True):
        raise DataError(
            "; ".join(damage.values())
            + f" (earth-embed prepare {dataset} --source DIR --verify makes only "
            + ("this file" if len(damage) == 1 else f"these {len(damage)} of {len(files)} files")
            + " anew)"
        )
    size = sum(file.stat().st_size for file in files)
    return f"{folder}: {len(files)} files, {size / 1e6:,.1f} MB, as their checksums say"


def _builder(dataset: str, data_dir: Path | None) -> Any:
    """The TFDS builder, whether or not the data set is there."""
    if dataset not in FROM_FILES:
        raise DataError(
            f"no data set {dataset!r} that is made from published files; "
            f"expected {' or '.join(FROM_FILES)}"
        )
    tfds = import_tfds()
    try:
        return tfds.builder(dataset, data_dir=data_dir, file_format="array_record")
    except Exception as error:  # TFDS raises many kinds for metadata that it cannot read
        place = "TFDS's default folder" if data_dir is None else data_dir
        raise DataError(f"cannot open the data set {dataset!r} in {place}: {error}") from error


def _rename(old: Path, new: Path) -> None:
    try:
        os.rename(old, new)
    except OSError as error:
        raise EarthEmbedError(f"cannot rename {old} to {new}: {error.strerror}") from error


def _plan(
    dataset: str, source: Path, folder: Path, rows_per_file: int
) -> tuple[list[Piece], Examples]:
    """Cuts the index into pieces, the same ones each time; the first time it founds the folder."""
    from earth_embed.data.datasets import chips

    source = source.absolute()  # a worker may have another current directory
    splits = chips.read_index(source)
    plan = {
        "index_sha256": checksum(source / "index.csv"),
        "rows_per_file": rows_per_file,
    }
    path = folder / PLAN_FILE
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EarthEmbedError(f"cannot write {folder}: {error}") from error
        write_text(path, json.dumps(plan, indent=1))
    try:
        begun = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if differ := [f"{k} = {begun.get(k)}, found {v}" for k, v in plan.items() if begun.get(k) != v]:
        raise DataError(
            f"{folder} was begun with other settings: expected {'; '.join(differ)} "
            "(remove the folder to prepare it anew)"
        )
    pieces = []
    for split, rows in splits.items():
        starts = range(0, len(rows), rows_per_file)
        for number, start in enumerate(starts):
            file = f"{dataset}-{split}.array_record-{number:05}-of-{len(starts):05}"
            pieces.append(Piece(split, file, tuple(rows[start : start + rows_per_file])))
    return pieces, functools.partial(chips.serialized, source)


def _finish(builder: Any, folder: Path, totals: Totals) -> None:
    """Writes TFDS's metadata."""
    tfds = import_tfds()
    if not totals.examples.total():
        raise DataError(
            f"no row of the index has a file that can be used: {totals} "
            f"(remove {folder} to start anew)"
        )
    infos = [
        tfds.core.SplitInfo(
            name=split, shard_lengths=lengths, num_bytes=totals.example_bytes[split]
        )
        for split, lengths in totals.lengths.items()
    ]
    builder.info.set_splits(tfds.core.SplitDict(infos))
    builder.info.metadata.update(rows=totals.rows, skipped=dict(totals.skipped))
    try:
        builder.info.write_to_directory(folder)
    except OSError as error:
        raise EarthEmbedError(f"cannot write {folder}: {error}") from error
