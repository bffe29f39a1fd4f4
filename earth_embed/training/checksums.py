"""Manifests of checkpoints: the size and sha256 of every file, to tell damage from what was saved.

RUN/checkpoints.sha256/STEP.json is written once RUN/checkpoints/STEP is whole, and appears whole or
not at all. A kill between the two leaves a checkpoint without a manifest, as do versions that wrote
none: such a checkpoint is not refused, since nothing says that it is damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from earth_embed.files import write_text


def write_manifest(checkpoint: Path) -> None:
    """Records the files of a checkpoint that is whole.

    Raises:
        OSError: a file cannot be read, or the folder of manifests cannot be made.
        EarthEmbedError: the manifest cannot be written.
    """
    files = (path for path in sorted(checkpoint.rglob("*")) if path.is_file())
    entries = {
        path.relative_to(checkpoint).as_posix(): {
            "size": path.stat().st_size,
            "sha256": sha256(path),
        }
        for path in files
    }
    manifest = manifest_of(checkpoint)
    manifest.parent.mkdir(exist_ok=True)
    write_text(manifest, json.dumps(entries, indent=1) + "\n")


def find_damage(checkpoint: Path, leave_out: Collection[str] = ()) -> str | None:
    """The first file that is not as it was recorded, with what was expected and found.

    Args:
        checkpoint: Its folder, of which nothing is changed.
        leave_out: Names of its entries that are not checked.

    Returns:
        None: every file is as recorded, or nothing (readable) was recorded.
    """
    try:
        entries = json.loads(manifest_of(checkpoint).read_text())
        recorded = {name: (int(e["size"]), str(e["sha256"])) for name, e in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    for name, (size, digest) in recorded.items():
        if name.split("/")[0] in leave_out:
            continue
        try:
            found = (checkpoint / name).stat().st_size
            if found != size:
                return f"{name}: expected {size} bytes, found {found}"
            if (other := sha256(checkpoint / name)) != digest:
                return f"{name}: expected sha256 {digest[:16]}…, found {other[:16]}…"
        except FileNotFoundError:
            return f"{name}: expected {size} bytes, found no file"
        except OSError as error:
            return (
                f"{name}: expected {size} bytes, found that they cannot be read: {error.strerror}"
            )
    return None


def drop_manifests(checkpoints: Path, kept: Collection[int]) -> None:
    """Deletes the manifests of checkpoints that are gone; `kept` are the steps of those left."""
    for manifest in manifest_of(checkpoints / "any").parent.glob("*.json"):
        if manifest.stem not in map(str, kept):
            with contextlib.suppress(OSError):  # one too many does no harm
                manifest.unlink()


def manifest_of(checkpoint: Path) -> Path:
    """RUN/checkpoints/STEP → RUN/checkpoints.sha256/STEP.json, outside of Orbax's folder."""
    folder = checkpoint.parent
    return folder.with_name(f"{folder.name}.sha256") / f"{checkpoint.name}.json"


def sha256(path: Path) -> str:
    """The digest of a file, read in blocks: it may be larger than the memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
