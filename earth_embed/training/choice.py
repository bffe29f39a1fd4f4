"""Which checkpoint is used: the newest, or the best, of those whose files are as they were saved.

Files alone are read here, and nothing is changed; restoring is another matter (`checkpoint.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from earth_embed.files import write_text

SCORE = "validation_retrieval@1"
"""The metric that decides which checkpoint is the best."""


class Choice(NamedTuple):
    """The checkpoint to use, and why others are not."""

    step: int | None
    """None: none is left."""
    refused: dict[int, str]
    """What is wrong with each checkpoint that was passed over: "is damaged: …"."""


def choose(
    checkpoints: Path,
    which: str = "last",
    refused: Mapping[int, str] | None = None,
    leave_out: Collection[str] = (),
    thorough: bool = False,
) -> Choice:
    """Chooses a checkpoint.

    Args:
        checkpoints: The folder of checkpoints; it need not exist.
        which: "last", or "best" by score.
        refused: Checkpoints that are out of the question, and why.
        leave_out: Entries of a checkpoint that will not be read, and whose damage does not matter.
        thorough: Check the older ones too, though a good one is found.
    """
    refused, good = dict(refused or {}), []
    for step in reversed(steps_in(checkpoints)):
        if step in refused:
            continue
        if damage := _damage(checkpoints / str(step), leave_out):
            refused[step] = f"is damaged: {damage}"
            continue
        good.append(step)
        if which == "last" and not thorough:
            break
    if which == "best":  # a score is trusted only now that its file is known to be good
        good.sort(key=lambda step: (read_score(checkpoints / str(step)), step), reverse=True)
    return Choice(good[0] if good else None, refused)


def steps_in(checkpoints: Path) -> list[int]:
    """The steps of the whole checkpoints, rising; unfinished or moved ones have longer names."""
    if not checkpoints.is_dir():
        return []
    return sorted(int(path.name) for path in checkpoints.iterdir() if path.name.isdecimal())


def read_score(checkpoint: Path) -> float:
    """A checkpoint's score; −∞ if it has none.

    Raises:
        ValueError: its file is damaged.
    """
    try:
        score = json.loads((checkpoint / "metrics" / "metrics").read_text())[SCORE]
    except FileNotFoundError:
        return -math.inf
    except (KeyError, TypeError) as error:
        raise ValueError(f"no {SCORE}") from error
    if not isinstance(score, int | float):
        raise ValueError(f"{SCORE} = {score!r}")
    return -math.inf if math.isnan(score) else score


def _damage(checkpoint: Path, leave_out: Collection[str]) -> str | None:
    if damage := find_damage(checkpoint, leave_out):
        return damage
    try:
        read_score(checkpoint)
    except (OSError, ValueError) as error:
        return f"metrics/metrics: expected a score, found {error}"
    return None


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
