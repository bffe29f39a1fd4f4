"""Files that appear whole or not at all and are checked later, and folders that are locked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from earth_embed.errors import DataError, EarthEmbedError

_LOCK = ".lock"
"""Suffix of the lock beside a temporary file."""


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
def atomic_output(path: Path, *, stream: bool = False) -> Iterator[Path]:
    """Yields a temporary file beside `path`; it replaces `path` if the block succeeds.

    The temporary file is created at once, so an unwritable folder fails before the work starts. The
    new file has the permissions and, where the system allows it, the owner of the one it replaces.
    If `path` is a link, it stays one, and the file that it leads to is replaced.

    Args:
        path: The file to write.
        stream: Whether the block writes from front to back. Then `path` may be a named pipe or a
            device, which is yielded itself: neither can be replaced.

    Raises:
        EarthEmbedError: the file cannot be written (no such folder, no permission, a full disk).
            An existing file at `path` is untouched, and nothing is left behind.
    """
    try:
        before = _status(path)
        if before is None or stat.S_ISREG(before.st_mode):
            target = Path(os.path.realpath(path))
            with _temporary(target) as temporary:
                # Never wider than the old file, not even while it is written.
                mode = 0o666 if before is None else 0o600
                os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
                yield temporary
                _flush_to_disk(temporary)
                _make_alike(temporary, before)
                os.replace(temporary, target)
        elif stat.S_ISDIR(before.st_mode):
            raise IsADirectoryError("it is a folder")
        elif stream:
            yield path
        else:
            raise OSError("it is a pipe or a device; this format expects an ordinary file")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EarthEmbedError(f"cannot write {path}: {reason}") from error


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; it becomes `path` if the block succeeds.

    Links and permissions are kept as in `atomic_output`. Missing folders above are made.

    Args:
        path: The folder to write: a new one, or one that is empty.

    Raises:
        OSError: the folder cannot be written. Nothing is left behind.
    """
    before, target = _status(path), Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(target) as temporary:
        temporary.mkdir()
        yield temporary
        _make_alike(temporary, before)
        os.replace(temporary, target)


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file or nothing; raises as `atomic_output`."""
    with atomic_output(path, stream=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Removes what processes that no longer live have left of their temporary files and folders.

    Each temporary file has a lock beside it, which ends with its process. So no file of a living
    process is touched, wherever it runs, if the file system's locks hold there.

    Args:
        folder: Where to look, not deeper. Missing is empty.
        name: Only leftovers of this output; None for all.
    """
    stem, suffix = (".+", r"(\.[^.]*)?") if name is None else map(re.escape, _parts(name))
    lock_name = re.compile(rf"\.{stem}\.\d+{suffix}{re.escape(_LOCK)}", re.DOTALL)
    with contextlib.suppress(FileNotFoundError, PermissionError):
        for found in filter(lock_name.fullmatch, os.listdir(folder)):
            lock = folder / found
            # Suppressed: it is locked, or the file system has no locks.
            with contextlib.suppress(OSError, NotImplementedError), FileLock(lock, blocking=False):
                _remove(folder / found.removesuffix(_LOCK))
                lock.unlink()


def check_writable(folder: Path, size: int = 0) -> None:
    """Writes, renames, reads and removes a small file, to find a fault before the work starts.

    Args:
        folder: An existing folder.
        size: Bytes that the work will write there at least.

    Raises:
        EarthEmbedError: the folder cannot be written, or has less room than `size`.
    """
    probe, text = folder / f".probe-{os.getpid()}", "é" * 4096
    try:
        write_text(probe, text)
        found = probe.read_text(encoding="utf-8")
        if found != text:
            raise OSError(f"of {len(text)} characters written, {len(found)} came back")
        free = shutil.disk_usage(folder).free
    except (OSError, UnicodeError) as error:
        raise EarthEmbedError(f"cannot write {folder}: {error}") from error
    finally:
        with contextlib.suppress(OSError, UnicodeError):
            probe.unlink(missing_ok=True)
    if free < size:
        raise EarthEmbedError(
            f"{folder} has too little room: expected at least {size / 1e6:,.1f} MB, found "
            f"{free / 1e6:,.1f} MB"
        )


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
    with _lock(folder / ".lock", wait):
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


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A name beside `target` that no living process uses; what has it at the end is removed."""
    target.parent.stat()  # some versions of filelock create the folder
    remove_leftovers(target.parent, target.name)
    stem, suffix = _parts(target.name)
    temporary = target.with_name(f".{stem}.{os.getpid()}{suffix}")
    lock = target.with_name(temporary.name + _LOCK)
    try:
        with contextlib.ExitStack() as held:
            with contextlib.suppress(NotImplementedError):  # a file system without locks
                held.enter_context(_lock(lock))  # waits for another thread with the same output
            try:
                _remove(temporary)  # of a dead process that had the same number
                yield temporary
            finally:
                with contextlib.suppress(OSError):  # a lock may be held too firmly to be unlinked
                    try:
                        _remove(temporary)
                    finally:
                        lock.unlink(missing_ok=True)
    except BaseException:  # a signal may have come in the midst of the cleaning
        remove_leftovers(target.parent, target.name)
        raise


def _lock(path: Path, wait: bool = True) -> FileLock:
    """The lock of a file, which is made first: where that fails, FileLock may try for ever."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o644))
    return FileLock(path, blocking=wait)


def _parts(name: str) -> tuple[str, str]:
    """Stem and suffix."""
    return Path(name).stem, Path(name).suffix


def _remove(path: Path) -> None:
    """Removes a file or a whole folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _status(path: Path) -> os.stat_result | None:
    """What is at a path, or at the end of the link that is there; None if nothing is."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _make_alike(path: Path, before: os.stat_result | None) -> None:
    """Gives a file the owner, if allowed, and the permissions of the one that it will replace."""
    if before is None:
        return
    for uid, gid in ((-1, before.st_gid), (before.st_uid, -1)):
        # Not on Windows; elsewhere only root may give files away.
        with contextlib.suppress(AttributeError, OSError):
            os.chown(path, uid, gid)
    with contextlib.suppress(OSError):  # a file system without permissions
        path.chmod(stat.S_IMODE(before.st_mode))
