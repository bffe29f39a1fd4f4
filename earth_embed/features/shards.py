"""Writes a feature cache shard by shard, in any number of processes, and resumes where it stopped.

A shard appears whole, then its record (size, SHA-256), and after all shards `features.json`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from earth_embed.cells import HOLDOUT
from earth_embed.data.features import (
    FEATURES_FILE,
    PLACES_FILE,
    Records,
    Shape,
    check_shards,
    encode_rows,
    read_features_file,
    read_shards,
    shard_file,
)
from earth_embed.datasets.preparation.pieces import (
    Piece,
    damage,
    forget,
    make_piece,
    read_record,
    remove_unfinished,
)
from earth_embed.errors import DataError, EarthEmbedError
from earth_embed.files import atomic_output, one_at_a_time, sha256, write_text
from earth_embed.processes import check_same, from_main, wait_for_all

_RESULTS = ("holdout", "shards", "places_sha256")
"""What features.json holds beside the settings."""


class Shards:
    """The shards of one folder."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], count: int) -> None:
        """Names the shards; nothing is read or written.

        `settings` are JSON values that decide the features, including rows, views and dim.
        """
        self.folder, self.count = folder, count
        self.record, self._plan = folder / FEATURES_FILE, folder / "plan.json"
        self._settings = dict(settings)

    @contextlib.contextmanager
    def begun(self) -> Iterator[bool]:
        """Locks the folder against other runs; yields whether it is already complete.

        All processes of the run must call this. A complete folder that holds out other places
        than today's rule is brought up to date: features do not depend on the rule.

        Raises:
            DataError: the folder was made with other settings, or by something else; or it is
                complete, and a shard's SHA-256 is another.
            EarthEmbedError: the folder cannot be written.
            RunError: the processes have different settings.
        """
        check_same("the features' settings", json.dumps(self._settings))
        with contextlib.ExitStack() as stack:

            def begin() -> bool:
                self._check()  # before the lock file is put into what may be a foreign folder
                try:
                    stack.enter_context(one_at_a_time(self.folder))
                except OSError as error:
                    reason = error.strerror or error
                    raise EarthEmbedError(f"cannot write {self.folder}: {reason}") from error
                self._check()  # again: another run may have worked here while this one waited
                remove_unfinished(self.folder)
                if whole := self.record.exists():
                    found = read_features_file(self.record)
                    check_shards(self.folder, read_shards(self.record, found)[1], contents=True)
                    if found.get("holdout") != HOLDOUT:
                        self._write_record(found.get("shards"), found.get("places_sha256"))
                    self._clean()
                else:
                    write_text(self._plan, json.dumps(self._settings, indent=1) + "\n")
                return whole

            yield from_main(begin)

    def has(self, number: int) -> bool:
        """Whether a shard exists with its recorded size."""
        return damage(self._file(number)) is None

    def save(self, number: int, lonlat: np.ndarray, features: np.ndarray) -> None:
        """Writes a shard: lonlat (B, K, 2) and features (B, K, D), float32.

        Raises:
            DataError: a feature is not finite.
            EarthEmbedError: it cannot be written.
        """
        if not np.isfinite(features).all():
            row = int(np.argmin(np.isfinite(features).all(axis=(1, 2))))
            raise DataError(f"shard {number}: the features of its row {row} are not finite")
        piece = Piece("all", shard_file(number), tuple(encode_rows(lonlat, features)))
        make_piece(piece, self.folder, iter)

    def finish(self) -> None:
        """Writes places.npy and then features.json, after all processes have made their shards.

        Raises:
            DataError: a shard is missing or damaged.
            EarthEmbedError: a file cannot be written.
        """
        wait_for_all("features")
        from_main(self._finish)

    def _finish(self) -> None:
        shape = Shape(*(int(self._settings[name]) for name in Shape._fields))
        names = [shard_file(number) for number in range(self.count)]
        written = [read_record(self.folder / name) for name in names]
        records = Records(self.folder, names, shape)
        with atomic_output(self.folder / PLACES_FILE) as temporary:
            # In parts, since all features together may not fit into memory.
            parts = np.array_split(np.arange(shape.rows), self.count)
            np.save(temporary, np.concatenate([records.read(part, 0)[:, :2] for part in parts]))
        shards = [
            {"file": name, "bytes": one.bytes, "sha256": one.sha256, "rows": one.examples}
            for name, one in zip(names, written, strict=True)
            if one
        ]
        self._write_record(shards, sha256(self.folder / PLACES_FILE))
        self._clean()

    def _write_record(self, shards: Any, places_sha256: Any) -> None:
        """Writes features.json, with today's hold-out rule."""
        results = dict(zip(_RESULTS, (HOLDOUT, shards, places_sha256), strict=True))
        write_text(self.record, json.dumps({**self._settings, **results}, indent=1) + "\n")

    def _clean(self) -> None:
        """Removes the files that features.json supersedes."""
        self._plan.unlink(missing_ok=True)
        for number in range(self.count):
            forget(self._file(number))

    def _file(self, number: int) -> Path:
        return self.folder / shard_file(number)

    def _check(self) -> None:
        """Raises a DataError if the folder was begun with other settings, or by something else."""
        begun = [path for path in (self.record, self._plan) if path.exists()]
        if begun:
            self._check_settings(begun[0])
        elif self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"{self.folder} is a file: name another output")
        elif self.folder.is_dir():
            for path in self.folder.iterdir():
                if not path.name.startswith("."):
                    raise DataError(f"{path} is there already: name another output")

    def _check_settings(self, path: Path) -> None:
        found = {k: v for k, v in read_features_file(path).items() if k not in _RESULTS}
        differing = [
            f"{name} = {found.get(name)!r}, not {self._settings.get(name)!r}"
            for name in {**self._settings, **found}
            if found.get(name) != self._settings.get(name)
        ]
        if differing:
            raise DataError(
                f"{self.folder} was made or begun with {'; '.join(differing)}: name another output"
            )
