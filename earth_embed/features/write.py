"""Runs a frozen encoder over a whole data set once, and caches its features for training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from earth_embed.data.sources import Examples, Source
from earth_embed.data.tables import open_table
from earth_embed.data.tfds import open_tfds
from earth_embed.errors import ConfigError
from earth_embed.features.encode import Encode, encode_texts, encode_views, places_of_views
from earth_embed.features.frozen import PUBLISHED
from earth_embed.features.inputs import TextInput, Tokenizer
from earth_embed.features.shards import Shards
from earth_embed.features.views import ViewSettings
from earth_embed.features.weights import read_frozen
from earth_embed.files import sha256
from earth_embed.processes import is_main, reporting_lost_process
from earth_embed.progress import bar, first_call, phase
from earth_embed.tablefiles import TABLE_SUFFIXES

BATCHES = 4
"""Batches per shard: a stopped process loses at most this many."""

TEXT_BYTES = 1024
"""UTF-8 bytes kept of a text; encoders truncate further, by tokens."""


def write_features(
    name: str,
    weights: Path,
    dataset: str,
    field: str,
    output: Path,
    *,
    views: ViewSettings | None = None,
    split: str = "train+validation",
    tokenizer: Path | None = None,
    batch_size: int = 64,
    data_dir: Path | None = None,
) -> int:
    """Writes the features and the place of every sample of a data set.

    `data.features` describes the format of the folder. A stopped run resumes when called with the
    same arguments, and ends with the same bytes on the same devices. With N processes, process I
    makes the shards whose number is I modulo N.

    Args:
        name: One of `PUBLISHED`.
        weights: The encoder's weights; see `read_frozen`.
        dataset: A TFDS data set or a table.
        field: Where the samples are; see `open_tfds` and `open_table`.
        output: The folder to write.
        views: The views of each sample; None for only the plain one.
        split: Splits of a TFDS data set, joined by "+".
        tokenizer: The tokenizer.json of a text encoder; None for the one beside the weights.
        batch_size: Samples encoded at a time, sharded over the local devices.
        data_dir: See `open_tfds`.

    Returns:
        The number of rows.

    Raises:
        ConfigError: the encoder is unknown, the devices do not divide the batch, or all views of
            texts would be the same.
        CheckpointError: the weights are not the encoder's.
        DataError: the data set, its samples or the tokenizer do not fit the encoder; or the output
            was made with other settings.
        EarthEmbedError: the output cannot be written, or a package is missing.
        ProcessLost: another process is gone.
    """
    if name not in PUBLISHED:
        raise ConfigError(f"no encoder {name!r}: expected one of {', '.join(PUBLISHED)}")
    devices = jax.local_device_count()
    if batch_size < 1 or batch_size % devices:
        raise ConfigError(f"batch_size = {batch_size}: expected a multiple of {devices} devices")
    views = views or ViewSettings()
    encoder = PUBLISHED[name]
    with phase(f"reading {weights}"):
        read = read_frozen(encoder, weights)
    settings: dict[str, Any] = {
        "encoder": name,
        "weights": weights.name,
        "weights_sha256": read.sha256,
        "dataset": dataset,
        "field": field,
        "batch_size": batch_size,
        "shard_rows": BATCHES * batch_size,
        "dim": encoder.dim,
    }
    # The other settings do not affect the plain view.
    settings |= dataclasses.asdict(views) if views.views > 1 else {"views": 1}
    if isinstance(encoder.input, TextInput):
        if views.views > 1 and not views.jitter_m:
            raise ConfigError(
                f"views = {views.views} of texts differ in place alone: expected jitter_m > 0"
            )
        file = tokenizer or weights.with_name("tokenizer.json")
        plain = encode_views(encoder, read.params, batch_size, ViewSettings())
        encode = encode_texts(Tokenizer(file, encoder.input), plain, views.views)
        settings["tokenizer_sha256"] = sha256(file)
    else:
        encode = encode_views(encoder, read.params, batch_size, views)
    sources: list[Source]
    with phase("opening the data"):
        if Path(dataset).suffix.lower() in TABLE_SUFFIXES:
            sources = [open_table(dataset, field, "all", TEXT_BYTES)]
            settings["dataset_sha256"] = sha256(Path(dataset))
        else:
            parts = split.split("+")
            sources = [open_tfds(dataset, field, part, data_dir, TEXT_BYTES) for part in parts]
            settings["split"] = split
    settings["rows"] = rows = sum(map(len, sources))
    pieces = _pieces(sources, settings["shard_rows"])
    shards = Shards(Path(output), settings, len(pieces))
    with reporting_lost_process(shards.folder), shards.begun() as whole:
        if not whole:
            _make(pieces, shards, first_call("compiling the encoder", encode), views)
            shards.finish()
    return rows


class _Piece(NamedTuple):
    """The examples of one shard."""

    number: int
    source: Source
    indices: np.ndarray
    rows: np.ndarray
    """The examples' rows in the output, which joins all sources."""


def _pieces(sources: list[Source], size: int) -> list[_Piece]:
    """Cuts the sources into pieces of `size` rows, or fewer at the end of a source."""
    pieces: list[_Piece] = []
    before = 0
    for source in sources:
        for start in range(0, len(source), size):
            indices = np.arange(start, min(start + size, len(source)))
            pieces.append(_Piece(len(pieces), source, indices, before + indices))
        before += len(source)
    return pieces


def _make(pieces: list[_Piece], shards: Shards, encode: Encode, views: ViewSettings) -> None:
    """Makes the missing shards of this process."""
    ours = pieces[jax.process_index() :: jax.process_count()]
    missing = [piece for piece in ours if not shards.has(piece.number)]
    total = sum(len(piece.rows) for piece in ours)
    made = total - sum(len(piece.rows) for piece in missing)
    with bar(
        total=total,
        initial=made,
        desc="features",
        unit=" rows",
        unit_scale=True,
        disable=not is_main(),
    ) as progress:
        for piece, examples in _read_ahead(missing):
            lonlat = places_of_views(examples["lonlat"], piece.rows, views)
            shards.save(piece.number, lonlat, encode(examples["sample"], piece.rows))
            progress.update(len(piece.rows))


def _read_ahead(pieces: list[_Piece]) -> Iterator[tuple[_Piece, Examples]]:
    """Yields each piece with its examples, while a thread reads the next ones."""
    with ThreadPoolExecutor(1, thread_name_prefix="earth_embed_features") as pool:
        reads = (pool.submit(piece.source.gather, piece.indices) for piece in pieces)
        ahead = next(reads, None)
        for piece in pieces:
            assert ahead is not None
            examples, ahead = ahead.result(), next(reads, None)
            yield piece, examples
