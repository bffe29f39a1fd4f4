"""Prepared data sets on disk: their folder, TFDS's metadata, and totals.

Nothing is registered with TFDS. A prepared folder describes itself, so TFDS can read it without
this package, and a feature's size may differ between preparations.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earth_embed.datasets.preparation.index import PublishedFiles
from earth_embed.datasets.preparation.pieces import Piece, read_record
from earth_embed.errors import DataError, EarthEmbedError, require
from earth_embed.files import Stamp, read_json, write_text

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

VERSION = "1.0.0"

PLAN_FILE = "plan.json"
"""In the folder of a data set that was made in pieces."""

CHECKSUMS_FILE = "checksums.json"
"""In the folder of every data set that this package made: the size and SHA-256 of its files."""

SMALL_FILE = 1 << 20
"""Files of at most so many bytes are compared whenever a data set is opened."""

_FEATURES = "tensorflow_datasets.core.features."


def published_folder(dataset: str, data_dir: str | os.PathLike[str] | None) -> Path:
    """The folder of a data set made from published files, whether or not it exists."""
    root = _tfds().core.constants.DATA_DIR if data_dir is None else data_dir
    return Path(root).expanduser().absolute() / dataset / VERSION


def open_published(dataset: str, folder: Path) -> tfds.core.DatasetBuilder:
    """Opens a data set made from published files, by its own metadata.

    Raises:
        DataError: it is missing, or its metadata cannot be read.
    """
    if not folder.exists():
        raise DataError(
            f"the data set {dataset!r} is not prepared in {folder}: "
            f"earth-embed prepare {dataset} --source DIR makes it from published files"
        )
    try:
        features = (folder / "features.json").read_text(encoding="utf-8")
        json.loads(features, object_pairs_hook=_check_class)
        return _tfds().builder_from_directory(folder, file_format="array_record")
    except Exception as error:  # TFDS raises many kinds for unreadable metadata
        raise DataError(f"cannot open the data set {dataset!r} in {folder}: {error}") from error


def _check_class(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises a ValueError if metadata names another class than TFDS's own features.

    TFDS imports the module of any class that is named there, which could be anyone's.
    """
    for key, value in pairs:
        named = key in ("pythonClassName", "python_class_name", "type")
        if key == "json" or (named and not str(value).startswith(_FEATURES)):
            raise ValueError(f"expected features of {_FEATURES}*; found {key} = {value!r}")
    return dict(pairs)


def write_metadata(published: PublishedFiles, folder: Path, totals: Totals) -> None:
    """Writes TFDS's metadata, which completes the data set in a folder.

    Raises:
        DataError: there are no examples.
        EarthEmbedError: the folder cannot be written.
    """
    tfds = _tfds()
    if not totals.examples.total():
        raise DataError(
            f"no row of the index has {published.HAS}: {totals} (remove {folder} to start anew)"
        )
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name=published.NAME,
            version=tfds.core.Version(VERSION),
            data_dir=str(folder),
            module_name="",
        ),
        features=published.features(),
        metadata=tfds.core.MetadataDict(rows=totals.rows, skipped=dict(totals.skipped)),
        **published.ABOUT,
    )
    info.set_file_format("array_record")
    splits = [
        tfds.core.SplitInfo(
            name=split, shard_lengths=lengths, num_bytes=totals.example_bytes[split]
        )
        for split, lengths in totals.lengths.items()
    ]
    info.set_splits(tfds.core.SplitDict(splits))
    try:
        info.write_to_directory(folder)
    except OSError as error:
        raise EarthEmbedError(f"cannot write {folder}: {error}") from error


def _tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise require(str(error.name), "data", "a data set from published files") from error
    return tensorflow_datasets


@dataclass(frozen=True)
class Totals:
    """Totals over the files of a folder."""

    lengths: dict[str, list[int]]
    """Split → number of examples in each file."""
    example_bytes: Counter[str]
    """Split → bytes of the examples before compression."""
    bytes: int
    """Bytes of all files."""
    rows: int
    """Rows of the index."""
    skipped: Counter[str]
    """Reason → number of rows without an example."""

    @classmethod
    def of(cls, folder: Path, pieces: Sequence[Piece], skipped: Counter[str]) -> Totals:
        """Adds up the records of a folder's files; `skipped` counts index rows in no piece.

        Raises:
            DataError: a file is missing.
        """
        lengths: dict[str, list[int]] = {}
        example_bytes: Counter[str] = Counter()
        rows = sum(len(piece.rows) for piece in pieces) + skipped.total()
        skipped = skipped.copy()
        size = 0
        for piece in pieces:
            record = read_record(folder / piece.file)
            if record is None:
                raise DataError(f"{folder / piece.file} was not made; do all workers see {folder}?")
            lengths.setdefault(piece.split, []).append(record.examples)
            example_bytes[piece.split] += record.example_bytes
            skipped.update({reason: len(rows) for reason, rows in record.skipped.items()})
            size += record.bytes
        return cls(lengths, example_bytes, size, rows, skipped)

    @property
    def examples(self) -> Counter[str]:
        """Split → number of examples."""
        return Counter({split: sum(lengths) for split, lengths in self.lengths.items()})

    def __str__(self) -> str:
        examples = " and ".join(f"{count:,} {split}" for split, count in self.examples.items())
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(self.skipped.items()))
        return (
            f"{examples} examples in {sum(map(len, self.lengths.values()))} files, "
            f"{self.bytes / 1e6:,.1f} MB; skipped {self.skipped.total():,} of {self.rows:,} rows"
            + (f": {reasons}" if reasons else "")
        )


def write_checksums(folder: Path, known: Mapping[str, Stamp] | None = None) -> None:
    """Records every file of a finished data set in its `CHECKSUMS_FILE`.

    Args:
        folder: The data set.
        known: File → stamp of files that need not be read again.

    Raises:
        DataError: a file cannot be read.
        EarthEmbedError: the record cannot be written.
    """
    stamps = {name: (known or {}).get(name) or Stamp.of(folder / name) for name in _files(folder)}
    entries = {name: dataclasses.asdict(stamp) for name, stamp in stamps.items()}
    text = json.dumps(entries, indent=1) + "\n"
    record = folder / CHECKSUMS_FILE
    if not record.is_file() or record.read_bytes() != text.encode():
        write_text(record, text)


def check_files(folder: Path, threads: int = 8, contents: bool = False) -> dict[str, str]:
    """Compares a data set with its `CHECKSUMS_FILE`.

    Args:
        folder: The data set.
        threads: Files to look at in parallel.
        contents: Compare the SHA-256 of every file; otherwise of those up to `SMALL_FILE`, among
            them all metadata, and only the sizes of the others.

    Returns:
        File → what is wrong with it, with its path; also if the record itself cannot be read.

    Raises:
        FileNotFoundError: there is no record.
    """
    record = folder / CHECKSUMS_FILE
    try:
        if not isinstance(entries := read_json(record), dict):
            raise ValueError(type(entries).__name__)
        stamps = {name: Stamp.from_json(entry) for name, entry in entries.items()}
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        return {CHECKSUMS_FILE: f"{record}: expected the files' checksums, found {error}"}

    def damage(name: str) -> str | None:
        if (stamp := stamps.get(name)) is None:
            return f"expected an entry in {CHECKSUMS_FILE}, found none"
        return stamp.damage(folder / name, contents or stamp.size <= SMALL_FILE)

    names = sorted({*_files(folder), *stamps})
    with ThreadPoolExecutor(threads) as pool:  # hashing releases the GIL
        found = zip(names, pool.map(damage, names), strict=True)
        return {name: f"{folder / name}: {what}" for name, what in found if what}


def _files(folder: Path) -> list[str]:
    """The files of a data set, without its checksums and hidden ones."""
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(name for name in names if name != CHECKSUMS_FILE and not name.startswith("."))


def prepared_files(builder: tfds.core.DatasetBuilder) -> list[Path]:
    """The files with the examples of a prepared data set."""
    splits = builder.info.splits.values()
    return [Path(path) for split in splits for path in split.filepaths]
