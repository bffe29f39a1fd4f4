"""Chooses the checkpoint to use: the newest or the best whose files match their manifest.

Only files are compared here, and nothing is changed; `checkpoint.py` restores. The manifest of
RUN/checkpoints/STEP is RUN/checkpoints.sha256/STEP.json, outside the folder that Orbax owns. It
names every file of the checkpoint, and run.json, without which the parameters mean nothing:

    {"run.json": {"size": 1984, "sha256": "9c1d…"},
     "checkpoints/600/state/d/0f3a…": {"size": 1024, "sha256": "4be1…"}, …}

From the start of a save until its checkpoint is complete, the manifest holds `BEGUN` instead. The
manifests of version 0.1.0 do not name run.json, and name the other files from the checkpoint on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from earth_embed.errors import EarthEmbedError
from earth_embed.files import Stamp, read_json, write_text
from earth_embed.training.run_dir import RUN_FILE

SCORE = "validation_retrieval@1"
"""The metric by which a checkpoint is the best."""

BEGUN = "a save has begun"
"""A manifest's content until its checkpoint is complete. A kill leaves it; it is not damage."""

EARLIER = (
    "cannot be verified: its own files match, but version 0.1.0, which saved it, recorded no "
    f"checksum of {RUN_FILE}"
)

UNFINISHED = "is being saved, or was when its process was killed: resuming the run finishes it"


class Choice(NamedTuple):
    """The checkpoint to use, and why others are not."""

    step: int | None
    """None if no checkpoint is left."""
    refused: dict[int, str]
    """Step → what is wrong with a checkpoint that was passed over: "is damaged: …"."""
    doubt: str | None = None
    """What is wrong with the chosen one; None if it is verified."""


def choose(
    checkpoints: Path,
    which: str = "last",
    refused: Mapping[int, str] | None = None,
    leave_out: Collection[str] = (),
    thorough: bool = False,
    unverified: bool = False,
) -> Choice:
    """Chooses a checkpoint.

    Args:
        checkpoints: The folder of checkpoints; it may be missing.
        which: "last", or "best" by score.
        refused: Checkpoints already ruled out, and why.
        leave_out: Entries of a checkpoint that will not be read, so their damage does not matter.
        thorough: Also check the checkpoints older than the first good one.
        unverified: Take the newest or best even if it does not match its manifest; do not refuse
            those of version 0.1.0.
    """
    refused = dict(refused or {})
    doubts: dict[int, str | None] = {}
    refused |= dict.fromkeys(_missing(checkpoints), "is missing, though its manifest is there")
    for step in reversed(steps_in(checkpoints)):
        if step in refused:
            continue
        fault = _fault(checkpoints / str(step), leave_out)
        if fault and (not unverified or (which == "last" and doubts and fault != EARLIER)):
            refused[step] = fault
            continue
        doubts[step] = fault
        if which == "last" and not thorough:
            break
    good = list(doubts)
    if which == "best":  # scores are read only now that their files are known to be good
        good.sort(key=lambda step: (read_score(checkpoints / str(step)), step), reverse=True)
    return Choice(good[0], refused, doubts[good[0]]) if good else Choice(None, refused)


def steps_in(checkpoints: Path) -> list[int]:
    """The steps of the whole checkpoints, ascending.

    Checkpoints that are unfinished or were moved aside have names that are no numbers.
    """
    if not checkpoints.is_dir():
        return []
    names = (path.name for path in checkpoints.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))


def read_score(checkpoint: Path) -> float:
    """A checkpoint's score; −∞ if it has none that can be read."""
    try:
        score = json.loads((checkpoint / "metrics" / "metrics").read_text())[SCORE]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return -math.inf
    readable = isinstance(score, int | float) and not math.isnan(score)
    return score if readable else -math.inf


def begin_manifest(checkpoint: Path) -> None:
    """Notes that a save has begun; see `BEGUN`.

    Raises:
        EarthEmbedError: the manifest cannot be written.
    """
    _write(checkpoint, BEGUN)


def write_manifest(checkpoint: Path) -> None:
    """Records the files of a finished checkpoint, and its run's run.json.

    Raises:
        DataError: a file cannot be read.
        EarthEmbedError: the manifest cannot be written.
    """
    run = checkpoint.parent.parent
    names = [RUN_FILE, *sorted(_files(checkpoint))]
    _write(checkpoint, {name: dataclasses.asdict(Stamp.of(run / name)) for name in names})


def finish_manifests(checkpoints: Path) -> None:
    """Records the checkpoints that were complete when a kill came before their manifests.

    Raises:
        EarthEmbedError: as `write_manifest`.
    """
    for step in steps_in(checkpoints):
        checkpoint = checkpoints / str(step)
        if _is_begun(_manifest_of(checkpoint)):
            write_manifest(checkpoint)


def record_unverified(checkpoints: Path, step: int) -> None:
    """Records a checkpoint, and those of version 0.1.0, as they are now, with the present run.json.

    Raises:
        EarthEmbedError: as `write_manifest`.
    """
    for each in steps_in(checkpoints):  # the newest last: until then, a kill leaves it unverified
        if each == step or _fault(checkpoints / str(each), ()) == EARLIER:
            write_manifest(checkpoints / str(each))


def drop_manifests(checkpoints: Path, kept: Collection[int]) -> None:
    """Deletes the manifests of deleted checkpoints; `kept` are the steps of the others."""
    for manifest in _manifests(checkpoints):
        if manifest.stem not in map(str, kept):
            with contextlib.suppress(OSError):  # a manifest too many does no harm
                manifest.unlink()


def _fault(checkpoint: Path, leave_out: Collection[str]) -> str | None:
    """Why a checkpoint is not verified, with what was expected and found; None if it is."""
    run, manifest = checkpoint.parent.parent, _manifest_of(checkpoint)
    prefix = f"{checkpoint.parent.name}/{checkpoint.name}/"
    if _is_begun(manifest):
        return UNFINISHED
    try:
        stamps = _read_manifest(manifest)
        earlier = stamps and not any(name.startswith((RUN_FILE, prefix)) for name in stamps)
        if earlier:
            stamps = {prefix + name: stamp for name, stamp in stamps.items()}
    except ValueError as error:
        where = manifest.relative_to(run)
        return f"cannot be verified: {where}: expected its files' checksums, found {error}"
    left_out = tuple(f"{prefix}{name}/" for name in leave_out)
    expected = _files(checkpoint) if earlier else {RUN_FILE, *_files(checkpoint)}
    for name in sorted(expected - stamps.keys()):
        if not name.startswith(left_out):
            return (
                f"cannot be verified: expected {name.removeprefix(prefix)} in "
                f"{manifest.relative_to(run)}, found no such entry"
            )
    for name, stamp in stamps.items():
        if name.startswith(left_out):
            continue
        short = name.removeprefix(prefix)
        try:
            if damage := stamp.damage(run / name, brief=True):
                return f"is damaged: {short}: {damage}"
        except (OSError, ValueError) as error:  # ValueError: a DataError, or a NUL in the name
            return (
                f"is damaged: {short}: expected {stamp.size} bytes, found that they cannot be "
                f"read: {error}"
            )
    return EARLIER if earlier else None


def _files(checkpoint: Path) -> set[str]:
    """The files of a checkpoint, relative to its run."""
    run = checkpoint.parent.parent
    return {path.relative_to(run).as_posix() for path in checkpoint.rglob("*") if path.is_file()}


def _missing(checkpoints: Path) -> list[int]:
    """The steps newer than every checkpoint whose manifests are there: someone deleted them."""
    recorded = [
        int(manifest.stem)
        for manifest in _manifests(checkpoints)
        if manifest.stem.isdecimal() and not _is_begun(manifest)
    ]
    steps = steps_in(checkpoints)  # after the manifests: a run that trains may just add both
    return [step for step in recorded if steps and step > steps[-1]]


def _read_manifest(manifest: Path) -> dict[str, Stamp]:
    """File → stamp.

    Raises:
        ValueError: it is no manifest, with what was found instead.
    """
    try:
        entries = read_json(manifest)
    except FileNotFoundError as error:
        raise ValueError("no such file") from error
    except OSError as error:
        raise ValueError(f"that it cannot be read: {error.strerror}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{type(entries).__name__}")
    return {name: Stamp.from_json(entry) for name, entry in entries.items()}


def _is_begun(manifest: Path) -> bool:
    try:
        return bool(read_json(manifest) == BEGUN)
    except (OSError, ValueError):
        return False


def _write(checkpoint: Path, content: Any) -> None:
    manifest = _manifest_of(checkpoint)
    try:
        manifest.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise EarthEmbedError(f"cannot make {manifest.parent}: {error.strerror}") from error
    write_text(manifest, json.dumps(content, indent=1) + "\n")


def _manifests(checkpoints: Path) -> list[Path]:
    return sorted(_manifest_of(checkpoints / "any").parent.glob("*.json"))


def _manifest_of(checkpoint: Path) -> Path:
    folder = checkpoint.parent
    return folder.with_name(f"{folder.name}.sha256") / f"{checkpoint.name}.json"
