"""TFDS data sets: prepared once as array_record files, then read by random access.

TensorFlow is imported only when a data set is prepared or opened.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earth_embed.cells import ROLES
from earth_embed.coordinates import check_lonlat
from earth_embed.data.sources import SMALL, Examples, Source, allocate, encode_text
from earth_embed.datasets.catalogue import FROM_FILES
from earth_embed.datasets.preparation.prepared import (
    CHECKSUMS_FILE,
    check_files,
    open_published,
    published_folder,
    write_checksums,
)
from earth_embed.errors import DataError, FaultWarning, require
from earth_embed.files import one_at_a_time
from earth_embed.images import decode_image
from earth_embed.progress import Above, in_command, phase

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

COORDINATES = ("lon", "lat")

# Examples are decoded in groups of about this size. A batch of chips then exists once, not three
# times, and one group's memory serves the next: touching fresh memory takes longer than decoding.
_GROUP_BYTES = 12 << 20

_PREPARING = ".preparing"

Decoder = Callable[[Sequence[Any]], np.ndarray]
"""B stored values → (B, ...)."""


def prepare(
    dataset: str, data_dir: str | os.PathLike[str] | None, download: bool = False
) -> tfds.core.DatasetBuilder:
    """Prepares a data set on disk, unless it is there already.

    The name may come from another's run, so nothing is downloaded unless the user asks for it.

    Args:
        dataset: "name" or "name/config": one of `cells.ROLES`, which are made from other packages'
            files without a download; one of `FROM_FILES`; one whose builder the user registered
            with TFDS; or one that is prepared in `data_dir`.
        data_dir: Where data sets are kept; None for TFDS's default (TFDS_DATA_DIR, or
            ~/tensorflow_datasets).
        download: Let TFDS download and prepare others that it knows.

    Returns:
        The TFDS builder of the prepared data set.

    Raises:
        DataError: there is no such data set, it cannot be fetched or written, or a file differs
            from what was recorded when it was made; see `check_files`.
        EarthEmbedError: a package that it needs is missing.
    """
    tfds = import_tfds()
    from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

    def find() -> Any:
        if dataset in FROM_FILES:
            return open_published(dataset, published_folder(dataset, data_dir))
        known = download or _is_registered(dataset)
        build = tfds.builder if known else tfds.core.read_only_builder.builder_from_files
        return build(dataset, data_dir=data_dir, file_format="array_record")

    try:
        builder = find()
        final = Path(builder.data_path)
        if final.exists():
            _clear_up(final)
        else:
            # All processes of a run on this host ask for it at once; the first one makes it.
            with (
                phase(f"preparing the data set {dataset} in {final}"),
                _tfds_on_stderr(tfds),
                one_at_a_time(final.parent),
            ):
                if not final.exists():
                    _make(dataset, builder)
                builder = find()
        if not builder.info.splits:  # another process made it after it was looked for
            builder = find()
    except DataError:
        raise
    except ImportError as error:
        # TFDS re-raises some of them without the name.
        missing = error.name or getattr(error.__cause__, "name", None) or str(error)
        raise require(missing, "worlddata", f"the data set {dataset!r}") from error
    except (OSError, RuntimeError, ParseError) as error:  # a full disk is a RuntimeError here
        place = "TFDS's default folder" if data_dir is None else repr(os.fspath(data_dir))
        raise DataError(f"cannot prepare the data set {dataset!r} in {place}: {error}") from error
    except (ValueError, AssertionError) as error:  # the latter for an unknown version
        raise DataError(
            f"no data set {dataset!r}: expected one of {', '.join(ROLES)} (or name/tiny), or one "
            "that is prepared on disk (earth-embed prepare NAME downloads others that TFDS knows): "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    _check_files(dataset, Path(builder.data_path))
    return builder


@contextmanager
def _tfds_on_stderr(tfds: Any) -> Iterator[None]:
    """In a command, TFDS says nothing on stdout and draws no bars into a log file."""
    if not in_command():
        yield
        return
    tfds.display_progress_bar(sys.stderr.isatty())
    try:
        with redirect_stdout(Above()):
            yield
    finally:
        tfds.enable_progress_bar()


def _is_registered(dataset: str) -> bool:
    """Whether code of this package or of the user registered a builder; TFDS's own download."""
    name, colon, _ = dataset.partition("/")[0].partition(":")
    if colon:  # a community's, which TFDS looks up in the network
        return False
    tfds = import_tfds()
    try:
        kind = tfds.builder_cls(name)
    except (ValueError, tfds.core.registered.DatasetNotFoundError):
        return False
    return not kind.__module__.startswith("tensorflow_datasets.")


def _check_files(dataset: str, folder: Path) -> None:
    """Compares a data set with its checksums; other packages' data sets need have none.

    Raises:
        DataError: a file differs.
    """
    from_files = dataset in FROM_FILES
    ours = from_files or dataset.partition("/")[0] in ROLES
    try:
        damage = check_files(folder)
    except FileNotFoundError:
        if ours:
            how = f"earth-embed prepare {dataset} --verify records them"
            warnings.warn(
                f"the data set {dataset!r} in {folder} cannot be verified: expected "
                f"{CHECKSUMS_FILE}, found no such file; it is read as it is "
                f"({how if from_files else 'remove the folder, and it is made anew'})",
                FaultWarning,
                stacklevel=3,
            )
        return
    if damage:
        how = f"earth-embed prepare {dataset} --source DIR --verify makes only damaged files anew"
        raise DataError(
            f"{next(iter(damage.values()))} "
            f"({how if from_files else f'remove {folder}, and it is made anew'})"
        )


def _make(dataset: str, builder: Any) -> None:
    """Prepares a data set in a folder of our own, which gets its name when it is whole.

    TFDS itself would leave a folder with a random name if it is killed, and nobody could tell
    whether its owner lives. This one belongs to whoever holds the lock.
    """
    final = Path(builder.data_path)
    folder = final.with_name(_PREPARING)
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir()
    try:
        making = import_tfds().builder(dataset, data_dir=folder, file_format="array_record")
        downloads = builder.data_dir_root / "downloads"
        making.download_and_prepare(download_dir=downloads, file_format="array_record")
        made = Path(making.data_path)
        write_checksums(made)
        for file in made.parents[1].glob(".config/*"):  # which config is the default
            common = final.parents[1] / ".config"
            common.mkdir(exist_ok=True)
            os.replace(file, common / file.name)
        os.rename(made, final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_up(final: Path) -> None:
    """Removes what is left if a process was killed just when the data set was whole."""
    folder = final.with_name(_PREPARING)
    if folder.exists():
        # Suppressed: another version is being prepared, or the folder cannot be written.
        with contextlib.suppress(OSError), one_at_a_time(final.parent, wait=False):
            shutil.rmtree(folder, ignore_errors=True)


def open_tfds(
    dataset: str,
    field: str,
    split: str,
    data_dir: str | os.PathLike[str] | None,
    text_bytes: int,
) -> Source:
    """Opens one feature of a data set as a modality; prepares the data set if need be.

    Args:
        dataset: "name" or "name/config".
        field: The feature that holds the samples: an image, a text or numbers.
        split: A split, or a slice of one ("train[:90%]").
        data_dir: See `prepare`.
        text_bytes: UTF-8 bytes kept of a text.

    Returns:
        A source of uint8 images (B, H, W, C), uint8 text (B, text_bytes) or numbers (B, ...),
        decoded when gathered. Numbers become float32, except uint8 and uint16: they are transferred
        as they are, in a quarter or half of the bytes, and standardised on the device.

    Raises:
        DataError: there is no such data set, feature or split; the split is empty; the feature is
            of another kind; or there are no features "lon" and "lat" (degrees).
    """
    builder = prepare(dataset, data_dir)
    records = _open_records(builder, (field,), split)
    return TfdsSource(records, field, _decoder(builder, field, text_bytes))


def read_columns(
    builder: tfds.core.DatasetBuilder, fields: Sequence[str], split: str
) -> dict[str, np.ndarray]:
    """Reads numeric features of one shape from a whole split, or a slice of one.

    Returns:
        An array of N values for each field, and for "lon" and "lat" (degrees).

    Raises:
        DataError: as `open_tfds`.
    """
    records = _open_records(builder, fields, split)
    examples = _read(records, range(len(records)))
    return {
        name: np.stack([example[name] for example in examples]) for name in (*COORDINATES, *fields)
    }


@dataclass(frozen=True)
class TfdsSource:
    """One feature of one split of a prepared data set; `records` is TFDS's random access to it."""

    records: Any
    field: str
    decode: Decoder

    def __len__(self) -> int:
        return len(self.records)

    def gather(self, indices: np.ndarray) -> Examples:
        """Reads examples by index."""
        start, size = 0, 1
        while start < len(indices):
            group = slice(start, start + size)
            examples = _read(self.records, indices[group].tolist())
            lon, lat = ([example[name] for example in examples] for name in COORDINATES)
            decoded = self.decode([example[self.field] for example in examples])
            if start == 0:
                shape = (len(indices), *decoded.shape[1:])
                sample = allocate(shape, decoded.dtype, f"the samples of {self.field!r}")
                lonlat = np.empty((len(indices), 2), np.float32)
            sample[group], lonlat[group] = decoded, check_lonlat(lon, lat)
            start, size = group.stop, max(1, _GROUP_BYTES // decoded[0].nbytes)
        return {"sample": sample, "lonlat": lonlat}


def _open_records(builder: Any, fields: Sequence[str], split: str) -> Any:
    """Random access to a split that has coordinates and these fields; images stay encoded."""
    tfds = import_tfds()
    features = builder.info.features
    missing = [name for name in (*COORDINATES, *fields) if name not in features]
    if missing:
        raise DataError(
            f"data set {builder.info.full_name!r} has no feature {', '.join(map(repr, missing))}; "
            f"it has {', '.join(features)}"
        )
    try:
        count = builder.info.splits[split].num_examples
    except (ValueError, KeyError) as error:
        raise DataError(
            f"data set {builder.info.full_name!r} in {builder.data_path} has no split {split!r}; "
            f"it has {', '.join(builder.info.splits) or 'none'}"
        ) from error
    if not count:
        raise DataError(f"split {split!r} of data set {builder.info.full_name!r} is empty")
    # Pillow decodes small images faster than TFDS does, and only those of the field asked for.
    images = {
        name: tfds.decode.SkipDecoding()
        for name, feature in features.items()
        if isinstance(feature, tfds.features.Image)
    }
    return builder.as_data_source(split, decoders=images)


def _read(records: Any, indices: Sequence[int]) -> list[dict[str, Any]]:
    try:
        return records.__getitems__(indices)
    except Exception as error:  # from array_record, if files are damaged; or from TFDS's parser
        raise DataError(f"{records.dataset_info.full_name!r} cannot be read: {error}") from error


def _decoder(builder: Any, field: str, text_bytes: int) -> Decoder:
    """The decoder of a feature."""
    tfds = import_tfds()
    feature = builder.info.features[field]
    if isinstance(feature, tfds.features.Text):
        return lambda texts: encode_text([text.decode() for text in texts], text_bytes)
    if (
        isinstance(feature, tfds.features.Tensor | tfds.features.Image)
        and None not in feature.shape
    ):
        if isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8:
            return lambda images: _decode_images(images, feature.shape, field)
        if isinstance(feature, tfds.features.Tensor) and np.issubdtype(feature.np_dtype, np.number):
            return lambda values: _stack_numbers(values, field)
    raise DataError(
        f"feature {field!r} of data set {builder.info.full_name!r} is {feature!r}; "
        "expected an 8-bit image or numbers, of one size, or a text"
    )


def _decode_images(encoded: Sequence[bytes], shape: tuple[int, ...], field: str) -> np.ndarray:
    """(B, H, W, C) uint8."""
    name = f"an image of feature {field!r}"
    images = allocate((len(encoded), *shape), np.uint8, f"the images of feature {field!r}")
    for image, file in zip(images, encoded, strict=True):
        image[...] = decode_image(io.BytesIO(file), name, "worlddata", shape)
    return images


def _stack_numbers(values: Sequence[np.ndarray], field: str) -> np.ndarray:
    """(B, ...), finite; scalars become vectors of one."""
    batch = np.stack(values)
    if batch.dtype not in SMALL:
        batch = batch.astype(np.float32, copy=False)
        if not np.isfinite(batch).all():
            raise DataError(f"feature {field!r} holds numbers that are not finite")
    return batch if batch.ndim > 1 else batch[:, None]


def import_tfds() -> Any:
    """TensorFlow Datasets, with the data sets of this package registered."""
    first = "tensorflow_datasets" not in sys.modules
    try:
        with phase("importing TensorFlow Datasets") if first else nullcontext():
            import tensorflow_datasets as tfds

            from earth_embed.datasets import land_labels, training_sets  # noqa: F401 (registers)
    except ImportError as error:
        raise require(str(error.name), "data", "reading a TFDS data set") from error
    return tfds
