"""Pieces of large data sets: one file each, made independently, whole or not at all, and checkable.

Beside a finished FILE lies its record, FILE.json. These two alone tell whether a piece is finished,
so preparation can stop at any time, run on any machines that share the folder, and resume.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from earth_embed.errors import DataError, EarthEmbedError, require
from earth_embed.files import Stamp, atomic_output, read_json, remove_leftovers, write_text

# One record per group, so that a random read decodes nothing else. On Sentinel-2 chips zstd's level
# 1 compresses as well as the default 3, in half the time.
WRITER_OPTIONS = "group_size:1,zstd:1"


class Piece(NamedTuple):
    """One file to make, from some rows of an index."""

    split: str
    file: str
    rows: tuple[Any, ...]


class Skipped(NamedTuple):
    """A row that became no example."""

    reason: str
    what: str


MakeExamples: TypeAlias = Callable[[tuple[Any, ...]], Iterator[bytes | Skipped]]
"""Rows of an index → for each, a serialised example or why there is none."""


@dataclass(frozen=True)
class Record:
    """What is recorded of a finished file.

    Attributes:
        sha256: Hexadecimal SHA-256 of the file.
        bytes: Size of the file.
        examples: Number of examples.
        example_bytes: Their size before compression.
        skipped: Reason → what was skipped.
    """

    sha256: str
    bytes: int
    examples: int
    example_bytes: int
    skipped: dict[str, list[str]]

    @property
    def stamp(self) -> Stamp:
        """The file's size and SHA-256."""
        return Stamp(self.bytes, self.sha256)


def make_piece(piece: Piece, folder: Path, examples: MakeExamples) -> None:
    """Writes one piece and its record into a folder. The same rows always make the same bytes.

    Raises:
        EarthEmbedError: it cannot be written; nothing is left behind.
    """
    file = folder / piece.file
    with atomic_output(file) as temporary:
        count, size = 0, 0
        skipped: dict[str, list[str]] = {}
        writer = _Writer(temporary)
        for example in examples(piece.rows):
            if isinstance(example, Skipped):
                skipped.setdefault(example.reason, []).append(example.what)
            else:
                writer.write(example)
                count, size = count + 1, size + len(example)
        writer.close()
        stamp = Stamp.of(temporary)
        record = Record(stamp.sha256, stamp.size, count, size, skipped)
    # Last, so that a crash leaves at most a piece without a record, which is made anew.
    write_text(_record_path(file), json.dumps(dataclasses.asdict(record), indent=1))


def read_record(file: Path) -> Record | None:
    """The record of a file; None if it is missing or incomplete."""
    try:
        record = Record(**read_json(_record_path(file)))
        numbers = (record.bytes, record.examples, record.example_bytes)
        good = {type(number) for number in numbers} == {int} and type(record.sha256) is str
        return record if good and type(record.skipped) is dict else None
    except (FileNotFoundError, ValueError, TypeError):
        return None
    except OSError as error:
        raise DataError(f"cannot read the record of {file}: {error}") from error


def damage(file: Path, contents: bool = False) -> str | None:
    """What is wrong with a file of `make_piece`, in one sentence; None if it is as recorded.

    `contents` compares its SHA-256 too, not only its size.
    """
    record = read_record(file)
    if record is None:
        return f"{file}: no record of its checksum beside it"
    found = record.stamp.damage(file, contents)
    return found and f"{file}: {found}"


def damaged_files(files: Sequence[Path], threads: int, contents: bool = False) -> dict[Path, str]:
    """The `damage` of each file that has any."""
    with ThreadPoolExecutor(threads) as pool:  # hashing releases the GIL
        found = pool.map(functools.partial(damage, contents=contents), files)
        return {file: what for file, what in zip(files, found, strict=True) if what}


def stamps(folder: Path, files: Sequence[str]) -> dict[str, Stamp]:
    """The recorded stamps of finished files."""
    records = {file: read_record(folder / file) for file in files}
    return {file: record.stamp for file, record in records.items() if record is not None}


def forget(file: Path) -> None:
    """Removes a file's record, so that the piece counts as unfinished."""
    _record_path(file).unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes the temporary files of killed processes. The caller has locked the folder."""
    remove_leftovers(folder)
    for leftover in folder.glob(".*array_record*"):  # without a lock, from older versions
        leftover.unlink(missing_ok=True)


def _record_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


class _Writer:
    """Writes an array_record file and raises its errors as EarthEmbedError."""

    def __init__(self, path: Path) -> None:
        try:
            from array_record.python.array_record_module import ArrayRecordWriter
        except ImportError as error:
            raise require("array_record", "data", "preparing a data set") from error
        self._path = path
        self._writer = ArrayRecordWriter(str(path), WRITER_OPTIONS)

    def write(self, example: bytes) -> None:
        self._try(self._writer.write, example)

    def close(self) -> None:
        self._try(self._writer.close)

    def _try(self, call: Callable[..., Any], *arguments: bytes) -> None:
        try:
            call(*arguments)
        except RuntimeError as error:  # a full disk, for example
            raise EarthEmbedError(f"cannot write {self._path}: {error}") from error
