"""A frozen encoder over a whole data set, once: features that training reads as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tqdm import tqdm

from earth_embed.data.geotable import TABLE_SUFFIXES
from earth_embed.data.sources import Source
from earth_embed.data.tables import open_table
from earth_embed.data.tfds_source import open_tfds
from earth_embed.encoders.frozen import PUBLISHED, FrozenEncoder
from earth_embed.encoders.frozen.inputs import TextInput
from earth_embed.encoders.frozen.published import Params
from earth_embed.encoders.frozen.tokens import Tokeniser
from earth_embed.errors import ConfigError, DataError
from earth_embed.importing.frozen import read_frozen
from earth_embed.serving.chunks import Chunks
from earth_embed.training.checksums import sha256

BATCHES = 4
"""Batches of a chunk: at most so many are lost when a run is stopped."""

TEXT_BYTES = 1024
"""UTF-8 bytes kept of a text; encoders keep fewer tokens."""

Encode: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Stored samples (B, ...) → features (B, D) float32."""


def write_features(
    name: str,
    weights: Path,
    dataset: str,
    field: str,
    output: Path,
    *,
    split: str = "train+validation",
    tokenizer: Path | None = None,
    batch_size: int = 64,
    data_dir: Path | None = None,
) -> int:
    """Writes the features of every sample of a data set, and where it lies.

    OUTPUT is a table of lon and lat. Beside it lie the features, .npy (N, D) float32, one row for
    each of its rows, and the origin of both, .json. Stopped, it goes on with the same arguments,
    and ends in the same bytes on the same devices.

    Args:
        name: One of `PUBLISHED`.
        weights: The encoder's weights; see `read_frozen`.
        dataset: A TFDS data set or a table.
        field: What holds the samples; see `open_tfds` and `open_table`.
        output: The table to write, .parquet, .pq or .csv.
        split: Splits of a TFDS data set, joined by "+".
        tokenizer: The tokenizer.json of a text encoder; None for the one beside the weights.
        batch_size: Samples encoded at a time, split over the local devices.
        data_dir: See `open_tfds`.

    Returns:
        The number of rows.

    Raises:
        ConfigError: an unknown encoder, or a batch that devices cannot share.
        CheckpointError: the weights are not the encoder's.
        DataError: the data set, its samples or the tokeniser are not what is needed; or the output
            was made with other settings.
        EarthEmbedError: the output cannot be written, or a package is missing.
    """
    if name not in PUBLISHED:
        raise ConfigError(f"no encoder {name!r}: expected one of {', '.join(PUBLISHED)}")
    devices = jax.local_device_count()
    if batch_size < 1 or batch_size % devices:
        raise ConfigError(f"batch_size = {batch_size}: expected a multiple of {devices} devices")
    encoder, read = PUBLISHED[name], read_frozen(PUBLISHED[name], weights)
    settings: dict[str, str | int] = {
        "encoder": name,
        "weights": weights.name,
        "weights_sha256": read.sha256,
        "dataset": dataset,
        "field": field,
        "batch_size": batch_size,
    }
    encode = _encode(encoder, read.params, batch_size)
    if isinstance(encoder.input, TextInput):
        file = tokenizer or weights.with_name("tokenizer.json")
        encode = _of_texts(Tokeniser(file, encoder.input), encode)
        settings["tokenizer_sha256"] = sha256(file)
    if Path(dataset).suffix.lower() in TABLE_SUFFIXES:
        sources: list[Source] = [open_table(dataset, field, "all", TEXT_BYTES)]
        settings["dataset_sha256"] = sha256(Path(dataset))
    else:
        parts = split.split("+")
        sources = [open_tfds(dataset, field, part, data_dir, TEXT_BYTES) for part in parts]
        settings["split"] = split
    settings["rows"] = rows = sum(map(len, sources))
    chunks = Chunks(Path(output), settings)
    with chunks.begun() as whole:
        if not whole:
            chunks.finish(_run(encode, sources, chunks, BATCHES * batch_size))
    return rows


def _run(encode: Encode, sources: list[Source], chunks: Chunks, size: int) -> int:
    """Makes the chunks of `size` rows that are missing; returns how many there are."""
    pieces = [
        (source, np.arange(start, min(start + size, len(source))))
        for source in sources
        for start in range(0, len(source), size)
    ]
    total = sum(map(len, sources))
    with tqdm(total=total, desc="features", unit=" rows", unit_scale=True) as progress:
        for number, (source, indices) in enumerate(pieces):
            if not chunks.has(number):
                examples = source.gather(indices)
                chunks.save(number, examples["lonlat"], encode(examples["sample"]))
            progress.update(len(indices))
    return len(pieces)


def _encode(encoder: FrozenEncoder, params: Params, batch_size: int) -> Encode:
    """The encoder, compiled for whole batches that the local devices share."""
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)
    split, copied = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
    params = jax.device_put(params, copied)
    compiled = jax.jit(encoder.features, out_shardings=split)

    def encode(samples: np.ndarray) -> np.ndarray:
        features = []
        for start in range(0, len(samples), batch_size):
            batch = samples[start : start + batch_size]
            missing = batch_size - len(batch)
            filled = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
            found = compiled(params, jax.device_put(filled, split))
            features.append(np.asarray(found)[: len(batch)])
        return np.concatenate(features)

    return encode


def _of_texts(tokeniser: Tokeniser, encode: Encode) -> Encode:
    """The same for UTF-8 bytes (B, K) uint8, filled up with zeros."""

    def of_texts(samples: np.ndarray) -> np.ndarray:
        if samples.dtype != np.uint8 or samples.ndim != 2:
            raise DataError(
                f"expected texts; found samples {samples.dtype} of shape {samples.shape[1:]}"
            )
        # A text that was cut may end within a character.
        texts = [row.tobytes().rstrip(b"\0").decode(errors="ignore") for row in samples]
        return encode(tokeniser(texts))

    return of_texts
