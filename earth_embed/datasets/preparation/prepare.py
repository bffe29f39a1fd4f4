"""Prepares a large data set from its published files: in pieces, in parallel, resumed, checked.

The pieces are written to a folder incomplete.VERSION beside the final one. When all are finished,
TFDS's metadata is added and the folder renamed: TFDS sees a data set complete or not at all.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earth_embed.cells import is_held_out
from earth_embed.datasets.preparation.index import Index, PublishedFiles, Thinning
from earth_embed.datasets.preparation.pieces import (
    MakeExamples,
    Piece,
    damaged_files,
    forget,
    make_piece,
    read_record,
    remove_unfinished,
    stamps,
)
from earth_embed.datasets.preparation.prepared import (
    PLAN_FILE,
    Totals,
    check_files,
    open_published,
    published_folder,
    write_checksums,
    write_metadata,
)
from earth_embed.datasets.preparation.runners import progress, run_beam, run_processes
from earth_embed.errors import ConfigError, DataError, EarthEmbedError
from earth_embed.files import one_at_a_time, remove_leftovers, write_text
from earth_embed.progress import phase


@dataclass(frozen=True)
class Work:
    """How the files of a data set are made. Only `rows_per_file` affects their bytes."""

    workers: int = os.cpu_count() or 1
    """Number of processes on this machine; ignored with a runner."""
    rows_per_file: int | None = None
    """Rows of the index per file (default: depends on the data set)."""
    runner: str | None = None
    """An Apache Beam runner, such as DirectRunner or DataflowRunner, instead of processes."""
    runner_options: tuple[str, ...] = ()
    """Options of the runner, as name=value."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        for name in ("workers", "rows_per_file"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} = {value}: expected 1 or more")


def prepare_from_files(
    published: PublishedFiles,
    data_dir: Path | None = None,
    work: Work | None = None,
    verify: bool = False,
    thinning: Thinning | None = None,
) -> str:
    """Makes the files that are missing or damaged, and changes nothing else.

    A second preparation of the same data set waits for the first one.

    Args:
        published: The data set and its published files.
        data_dir: Where TFDS data sets are kept; None for TFDS's default.
        work: How the files are made.
        verify: Compare the SHA-256 of finished files, not only their sizes.
        thinning: Which rows of the index are used.

    Returns:
        One line that says what was prepared and what was skipped.

    Raises:
        DataError: the source cannot be used, or differs from the one the data set was begun with.
        CoordinateError: a coordinate of the index is missing or out of range.
        EarthEmbedError: a file cannot be written, or a runner failed.
    """
    final = published_folder(published.NAME, data_dir)
    try:
        with one_at_a_time(final.parent):
            return _prepare(published, final, work or Work(), verify, thinning or Thinning())
    except OSError as error:
        raise EarthEmbedError(f"cannot write {final.parent}: {error.strerror}") from error


def _prepare(
    published: PublishedFiles, final: Path, work: Work, verify: bool, thinning: Thinning
) -> str:
    unfinished = final.with_name(f"incomplete.{final.name}")
    folder = final if final.exists() else unfinished
    if folder is final and not (final / PLAN_FILE).exists():
        raise DataError(f"{final} has no {PLAN_FILE}: it was not made by this command")
    if folder is final:
        open_published(published.NAME, final)  # raises if the metadata is damaged
    rows_per_file = work.rows_per_file or published.ROWS_PER_FILE
    if (folder / PLAN_FILE).exists():
        _check_plan(folder, _plan(published, rows_per_file, thinning))
    extract = functools.partial(_extract, final.with_name("extracted"), work, verify)
    with phase("reading the index"):
        index = thinning.thin(published.read_index(extract))
    if not (folder / PLAN_FILE).exists():  # created only after the source was read
        folder.mkdir(parents=True, exist_ok=True)
        plan = _plan(published, rows_per_file, thinning)
        write_text(folder / PLAN_FILE, json.dumps(plan, indent=1))
    pieces = _cut(published.NAME, index, rows_per_file)
    todo = _damaged(folder, pieces, work, verify)
    if todo or folder is unfinished or _differs(final):
        if folder is final:
            _rename(final, unfinished)
        _make(unfinished, pieces, todo, published.examples, work)
        with phase("writing the metadata"):
            write_metadata(published, unfinished, Totals.of(unfinished, pieces, index.skipped))
            write_checksums(unfinished, stamps(unfinished, [piece.file for piece in pieces]))
        _rename(unfinished, final)
    return f"prepared {final}: {Totals.of(final, pieces, index.skipped)}"


def _differs(folder: Path) -> bool:
    """Whether a file differs from the checksums; the metadata are then written anew."""
    try:
        return bool(check_files(folder))
    except FileNotFoundError:  # of an earlier version
        return False


def _plan(published: PublishedFiles, rows_per_file: int, thinning: Thinning) -> dict[str, Any]:
    """The settings that decide the files."""
    return {
        **published.fingerprint(),
        "rows_per_file": rows_per_file,
        **thinning.fingerprint(),
    }


def _check_plan(folder: Path, plan: dict[str, Any]) -> None:
    path = folder / PLAN_FILE
    try:
        begun = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    names = [name for name in {**begun, **plan} if begun.get(name) != plan.get(name)]
    if differ := [f"{name} = {begun.get(name)}, found {plan.get(name)}" for name in names]:
        raise DataError(
            f"{folder} was begun with other settings: expected {'; '.join(differ)} "
            "(remove the folder to prepare it anew)"
        )


def _cut(name: str, index: Index, rows_per_file: int) -> list[Piece]:
    """Cuts the index into pieces, by split and deterministically."""
    held_out = is_held_out(index.lonlat)
    pieces = []
    for split, members in (("train", ~held_out), ("validation", held_out)):
        rows = index.rows(members)
        starts = range(0, len(rows), rows_per_file)
        for number, start in enumerate(starts):
            file = f"{name}-{split}.array_record-{number:05}-of-{len(starts):05}"
            pieces.append(Piece(split, file, tuple(rows[start : start + rows_per_file])))
    return pieces


def _extract(
    folder: Path, work: Work, verify: bool, pieces: Sequence[Piece], examples: MakeExamples
) -> list[Path]:
    """Makes the files that an index is read from; they are kept beside the data set's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if todo := _damaged(folder, pieces, work, verify):
        _make(folder, pieces, todo, examples, work, "extract", " files")
    return [folder / piece.file for piece in pieces]


def _damaged(folder: Path, pieces: Sequence[Piece], work: Work, verify: bool) -> list[Piece]:
    """The pieces that are missing or damaged."""
    with phase("looking for files that are missing or damaged"):
        damage = damaged_files([folder / piece.file for piece in pieces], work.workers, verify)
    for file, what in damage.items():
        if read_record(file) is not None:  # without one it was never finished
            print(f"{what}; it is made anew", file=sys.stderr)
    return [piece for piece in pieces if folder / piece.file in damage]


def _make(
    folder: Path,
    pieces: Sequence[Piece],
    todo: Sequence[Piece],
    examples: MakeExamples,
    work: Work,
    doing: str = "prepare",
    unit: str = " rows",
) -> None:
    remove_unfinished(folder)
    for piece in todo:
        forget(folder / piece.file)
    try:
        with progress(folder, pieces, todo, doing, unit):
            make = functools.partial(make_piece, folder=folder, examples=examples)
            if work.runner is None:
                run_processes(make, todo, work.workers)
            else:
                run_beam(make, todo, work.runner, work.runner_options)
    finally:
        remove_leftovers(folder)  # those of workers that had to be terminated


def _rename(old: Path, new: Path) -> None:
    try:
        os.rename(old, new)
    except OSError as error:
        raise EarthEmbedError(f"cannot rename {old} to {new}: {error.strerror}") from error
