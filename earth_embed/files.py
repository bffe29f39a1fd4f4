"""Output files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from earth_embed.errors import DataError, EarthEmbedError


def check_suffix(path: Path, allowed: tuple[str, ...], what: str) -> str:
    """Returns the lower-case suffix of an output file.

    Raises:
        DataError: the suffix is not among `allowed`.
    """
    suffix = path.suffix.lower()
    if suffix not in allowed:
        raise DataError(f"{path}: {what} is written as {' or '.join(allowed)}, not {suffix!r}")
    return suffix


@contextlib.contextmanager
def atomic_output(path: Path) -> Iterator[Path]:
    """Yields a temporary file beside `path`, which takes its place when the block ends well.

    The file is made at once: an unwritable folder fails before the work, not after it.

    Raises:
        EarthEmbedError: the file cannot be written (no such folder, no permission, a full disk).
            What stood at `path` is untouched and nothing is left behind.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        temporary.touch()
        yield temporary
        _to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise EarthEmbedError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Makes a file's bytes outlive a power cut, before its name says that they are there."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other process holds the folder, and holds it; a lock ends with its process.

    Raises:
        OSError: the folder cannot be made or written.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file or nothing; raises as `atomic_output`."""
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
