"""Chooses the checkpoint to use: the newest or the best whose files match their manifest.

Only files are compared here, and nothing is changed; `checkpoint.py` restores. The manifest of
RUN/checkpoints/STEP is RUN/checkpoints.sha256/STEP.json, outside the folder that Orbax owns:

    {"state/d/0f3a…": {"size": 1024, "sha256": "4be1…"}, …}
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from earth_embed.errors import DataError
from earth_embed.files import Stamp, write_text

SCORE = "validation_retrieval@1"
"""The metric by which a checkpoint is the best."""


class Choice(NamedTuple):
    """The checkpoint to use, and why others are not."""

    step: int | None
    """None if no checkpoint is left."""
    refused: dict[int, str]
    """Step → what is wrong with a checkpoint that was passed over: "is damaged: …"."""


def choose(
    checkpoints: Path,
    which: str = "last",
    refused: Mapping[int, str] | None = None,
    leave_out: Collection[str] = (),
    thorough: bool = False,
) -> Choice:
    """Chooses a checkpoint.

    Args:
        checkpoints: The folder of checkpoints; it may be missing.
        which: "last", or "best" by score.
        refused: Checkpoints already ruled out, and why.
        leave_out: Entries of a checkpoint that will not be read, so their damage does not matter.
        thorough: Also check the checkpoints older than the first good one.
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
    if which == "best":  # scores are read only now that their files are known to be good
        good.sort(key=lambda step: (read_score(checkpoints / str(step)), step), reverse=True)
    return Choice(good[0] if good else None, refused)


def steps_in(checkpoints: Path) -> list[int]:
    """The steps of the whole checkpoints, ascending.

    Checkpoints that are unfinished or were moved aside have names that are no numbers.
    """
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


def write_manifest(checkpoint: Path) -> None:
    """Records the files of a finished checkpoint.

    Raises:
        DataError: a file cannot be read.
        OSError: the folder of manifests cannot be made.
        EarthEmbedError: the manifest cannot be written.
    """
    files = (path for path in sorted(checkpoint.rglob("*")) if path.is_file())
    entries = {
        path.relative_to(checkpoint).as_posix(): dataclasses.asdict(Stamp.of(path))
        for path in files
    }
    manifest = _manifest_of(checkpoint)
    manifest.parent.mkdir(exist_ok=True)
    write_text(manifest, json.dumps(entries, indent=1) + "\n")


def drop_manifests(checkpoints: Path, kept: Collection[int]) -> None:
    """Deletes the manifests of deleted checkpoints; `kept` are the steps of the others."""
    for manifest in _manifest_of(checkpoints / "any").parent.glob("*.json"):
        if manifest.stem not in map(str, kept):
            with contextlib.suppress(OSError):  # a manifest too many does no harm
                manifest.unlink()


def _damage(checkpoint: Path, leave_out: Collection[str]) -> str | None:
    """The first file that differs from the manifest, with what was expected and found.

    None also where there is no readable manifest: the checkpoint is then used if it restores.
    """
    for name, stamp in _read_manifest(checkpoint).items():
        if name.split("/")[0] in leave_out:
            continue
        try:
            if damage := stamp.damage(checkpoint / name, brief=True):
                return f"{name}: {damage}"
        except (OSError, DataError) as error:
            return f"{name}: expected {stamp.size} bytes, found that they cannot be read: {error}"
    try:
        read_score(checkpoint)
    except (OSError, ValueError) as error:
        return f"metrics/metrics: expected a score, found {error}"
    return None


def _read_manifest(checkpoint: Path) -> dict[str, Stamp]:
    """Name → stamp of a checkpoint's files; empty if they were not recorded."""
    try:
        entries = json.loads(_manifest_of(checkpoint).read_text())
        return {name: Stamp(int(e["size"]), str(e["sha256"])) for name, e in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _manifest_of(checkpoint: Path) -> Path:
    folder = checkpoint.parent
    return folder.with_name(f"{folder.name}.sha256") / f"{checkpoint.name}.json"
