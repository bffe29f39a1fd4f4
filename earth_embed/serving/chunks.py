"""A table of places and an array of features, made in chunks: what was stopped goes on."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from earth_embed.data.geotable import TABLE_SUFFIXES
from earth_embed.errors import DataError, EarthEmbedError, require
from earth_embed.files import atomic_output, check_suffix, one_at_a_time, write_text


class Chunks:
    """FILE.parquet (or .csv) of lon and lat, FILE.npy of features, FILE.json of their origin.

    A chunk holds lon, lat and features, (B, 2 + D) float32. Chunks lie in .FILE.chunks until all
    are there; each appears whole or not at all, and so does each file. The record comes last.
    """

    def __init__(self, table: Path, settings: Mapping[str, Any]) -> None:
        """Takes the names; nothing is read or written.

        Args:
            table: The table to write, .parquet, .pq or .csv.
            settings: What decides the features, as JSON has it.

        Raises:
            DataError: the table's suffix is another.
        """
        check_suffix(table, TABLE_SUFFIXES, "a table")
        self.table, self.array = table, table.with_suffix(".npy")
        self.record = table.with_suffix(".json")
        self.folder = table.with_name(f".{table.stem}.chunks")
        self._settings = dict(settings)

    @contextlib.contextmanager
    def begun(self) -> Iterator[bool]:
        """Holds the output against other processes; yields whether it is whole already.

        Raises:
            DataError: what is there was made with other settings, or by something else.
            EarthEmbedError: the folder cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                if not self.table.parent.is_dir():
                    raise FileNotFoundError(2, "No such file or directory")
                stack.enter_context(one_at_a_time(self.folder))
            except OSError as error:
                raise EarthEmbedError(f"cannot write {self.folder}: {error.strerror}") from error
            plan, whole = self.folder / "settings.json", self.record.exists()
            try:
                self._check(plan, whole)
            except DataError:
                if not plan.exists():  # then the folder is new, and holds nothing
                    shutil.rmtree(self.folder)
                raise
            write_text(plan, self._text)
            yield whole
            if self.record.exists():
                shutil.rmtree(self.folder, ignore_errors=True)

    def has(self, number: int) -> bool:
        """Whether a chunk is there."""
        return self._chunk(number).exists()

    def save(self, number: int, lonlat: np.ndarray, features: np.ndarray) -> None:
        """Writes a chunk: lonlat (B, 2) and features (B, D), float32."""
        with atomic_output(self._chunk(number)) as temporary:
            np.save(temporary, np.concatenate([lonlat, features], axis=1))

    def finish(self, count: int) -> int:
        """Puts the chunks 0 … count − 1 together, and returns the number of rows.

        Raises:
            EarthEmbedError: a file cannot be written, or a package is missing.
        """
        chunks = [np.load(self._chunk(i), mmap_mode="r") for i in range(count)]
        rows, columns = sum(map(len, chunks)), chunks[0].shape[1]
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, columns - 2)}
        # Written, not mapped into memory: a full disk is an error then, not the end of the process.
        with atomic_output(self.array) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for chunk in chunks:
                file.write(chunk[:, 2:].astype("<f4").tobytes())
        self._write_places(np.concatenate([chunk[:, :2] for chunk in chunks]))
        write_text(self.record, self._text)
        return rows

    def _chunk(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npy"

    def _write_places(self, lonlat: np.ndarray) -> None:
        try:
            import pyarrow
            from pyarrow import csv, parquet
        except ImportError as error:
            raise require("pyarrow", "tables", "writing a table") from error
        places = pyarrow.table({"lon": lonlat[:, 0], "lat": lonlat[:, 1]})
        write = csv.write_csv if self.table.suffix.lower() == ".csv" else parquet.write_table
        with atomic_output(self.table) as temporary:
            write(places, temporary)

    @property
    def _text(self) -> str:
        return json.dumps(self._settings, indent=1) + "\n"

    def _check(self, plan: Path, whole: bool) -> None:
        """DataError where what is there is not of these settings."""
        if whole or plan.exists():
            self._check_settings(self.record if whole else plan)
        elif foreign := [path for path in (self.table, self.array) if path.exists()]:
            raise DataError(f"{foreign[0]} is there already: name another output")

    def _check_settings(self, path: Path) -> None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            differing = [
                f"{name} = {found.get(name)!r}, not {self._settings.get(name)!r}"
                for name in {**self._settings, **found}
                if found.get(name) != self._settings.get(name)
            ]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DataError(f"{path} is no record of features: name another output") from error
        if differing:
            raise DataError(
                f"{self.table} was made or begun with {'; '.join(differing)}: name another output"
            )
