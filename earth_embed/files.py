"""Files that appear whole or not at all and are checked later, and folders that are locked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

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
    """Yields a temporary file beside `path`; it replaces `path` if the block succeeds.

    The temporary file is created at once, so an unwritable folder fails before the work starts.

    Raises:
        EarthEmbedError: the file cannot be written (no such folder, no permission, a full disk).
            An existing file at `path` is untouched, and nothing is left behind.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        temporary.touch()
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise EarthEmbedError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file or nothing; raises as `atomic_output`."""
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def one_at_a_time(folder: Path, wait: bool = True) -> Iterator[None]:
    """Locks a folder against other processes. The lock ends with its process, however that ends.

    Args:
        folder: Created if missing; the lock is its file ".lock".
        wait: Wait for the process that holds the lock, instead of raising.

    Raises:
        TimeoutError: another process holds the lock, and `wait` is false.
        OSError: the folder cannot be created or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock", blocking=wait):
        yield


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks: it may be larger than the memory.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error


def read_json(path: Path, limit: int = 1 << 26) -> Any:
    """The values of a JSON file that this package wrote, which no longer need be what it wrote.

    Args:
        path: The file, in UTF-8.
        limit: The largest size in bytes.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is no JSON, repeats a name in an object, holds NaN or an infinity, is nested
            too deep, or is too large. The message says what was found.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(values := dict(pairs)) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the name {twice[:60]!r} twice in one object")
        return values

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant}, which is no JSON")

    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {limit:,} bytes")
    try:
        text = content.decode("utf-8")
        return json.loads(text, object_pairs_hook=distinct, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("values nested too deep") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"what is no JSON: {error}") from error


@dataclass(frozen=True)
class Stamp:
    """Size and hexadecimal SHA-256 of a file when it was finished. Manifests are made of these."""

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Stamps a file.

        Raises:
            DataError: the file cannot be read.
        """
        digest = sha256(path)
        return cls(path.stat().st_size, digest)

    @classmethod
    def from_json(cls, entry: Any, size: str = "size") -> Stamp:
        """Reads a stamp from an object with its size, under this name, and "sha256".

        Raises:
            ValueError: it holds no stamp.
        """
        found = (entry.get(size), entry.get("sha256")) if isinstance(entry, dict) else ()
        if tuple(map(type, found)) != (int, str):
            raise ValueError(f"{str(entry)[:80]} instead of a size and a SHA-256")
        return cls(*found)

    def damage(self, path: Path, contents: bool = True, brief: bool = False) -> str | None:
        """How a file differs from its stamp; None if it does not.

        Args:
            path: The file.
            contents: Compare the SHA-256 too, which reads the whole file.
            brief: Plain sizes and the first 16 digits of a digest, for a one-line warning.

        Returns:
            "expected … bytes, found …" or "expected SHA-256 …, found …".

        Raises:
            DataError: the file cannot be read.
        """
        separator, missing = ("", "no file") if brief else (",", "no such file")
        if not path.is_file():
            return f"expected {self.size:{separator}} bytes, found {missing}"
        if (size := path.stat().st_size) != self.size:
            return f"expected {self.size:{separator}} bytes, found {size:{separator}}"
        if not contents or (digest := sha256(path)) == self.sha256:
            return None
        if brief:
            return f"expected sha256 {self.sha256[:16]}…, found {digest[:16]}…"
        return f"expected SHA-256 {self.sha256}, found {digest}"


def _flush_to_disk(path: Path) -> None:
    """Makes the file's bytes survive a power cut before its final name says that they are there."""
    with path.open("r+b") as file:  # Windows flushes only files that are open for writing
        os.fsync(file.fileno())
