"""Which checkpoint is used: the newest, or the best, of those whose files are as they were saved.

Files alone are read here, and nothing is changed; restoring is another matter (`checkpoint.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from earth_embed.training.checksums import find_damage

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
