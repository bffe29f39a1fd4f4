"""What a command says while it works: its phases and its progress, on stderr.

A terminal gets lines that change in place. A log file or a pipe gets whole lines with the time of
day: one when a phase or a bar begins, and one a minute while it lasts. Called as a library, the
package shows bars and says no phases; a command says them because it works within `command`.

This module imports nothing heavy: a command's first line must not wait for JAX.
"""

from __future__ import annotations

import io
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")

SECOND, MINUTE = 1.0, 60.0
"""How often a phase's line changes on a terminal, and is repeated elsewhere. Bars keep tqdm's own
rate on a terminal."""

_speaks: ContextVar[bool | None] = ContextVar("speaks", default=None)
"""Whether phases are said; None outside of commands."""


@contextmanager
def command(text: str | None) -> Iterator[None]:
    """The time of a command: says what it does at once, and its phases after that.

    Args:
        text: What the command does; None to say nothing, since another process speaks.
    """
    if text is not None:
        print(text, file=sys.stderr if sys.stderr.isatty() else _Lines(sys.stderr), flush=True)
    token = _speaks.set(text is not None)
    try:
        yield
    finally:
        _speaks.reset(token)


def be_quiet() -> None:
    """Says no more phases until the command ends: another process of the run speaks."""
    _speaks.set(False)


def in_command() -> bool:
    """Whether a command is running, whose process is its own."""
    return _speaks.get() is not None


@contextmanager
def phase(doing: str) -> Iterator[None]:
    """Says what is being done, and on a terminal for how long; there the line goes when it is done.

    Args:
        doing: Such as "opening the data".
    """
    if not _speaks.get():
        yield
        return
    shown = "{desc}"
    if sys.stderr.isatty():  # a line that wraps would not go
        doing = doing[: shutil.get_terminal_size().columns - len(" … 00:00:00") - 1]
        shown = "{desc} … {elapsed}"
    with (
        bar(desc=doing, bar_format=shown, leave=False) as line,
        every(max(line.mininterval, SECOND), line.refresh),
    ):
        yield


@contextmanager
def every(seconds: float, look: Callable[[], object]) -> Iterator[None]:
    """Calls `look` every so many seconds while the block works, in a thread of its own."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(seconds):
            look()

    repeating = threading.Thread(target=repeat, daemon=True)
    repeating.start()
    try:
        yield
    finally:
        done.set()
        repeating.join()


def first_call(doing: str, function: Callable[..., T]) -> Callable[..., T]:
    """`function`, whose first call is a phase: the call that compiles it."""
    phases = iter([phase(doing)])

    def call(*arguments: Any) -> T:
        with next(phases, nullcontext()):
            return function(*arguments)

    return call


def bar(*arguments: Any, **settings: Any) -> Any:
    """A progress bar with tqdm's arguments; off a terminal, a line a minute and one at the end."""
    if sys.stderr.isatty():
        return tqdm(*arguments, **{"dynamic_ncols": True, **settings})
    lines = {
        "file": _Lines(sys.stderr),
        "position": 0,  # otherwise tqdm moves the cursor
        "mininterval": MINUTE,
        "miniters": 0,
        "bar_format": "{desc}: {percentage:.0f}% {n_fmt}/{total_fmt} "
        "[{elapsed}<{remaining}, {rate_fmt}{postfix}]",
    }
    return tqdm(*arguments, **(lines | settings))


class Above(io.StringIO):
    """A file whose lines appear on stderr, above bars and phases: for what others print."""

    def write(self, text: str) -> int:
        """Shows what is more than space."""
        if line := text.strip():
            tqdm.write(line, file=sys.stderr)
        return len(text)


class _Lines:
    """A file that turns tqdm's updates in place into whole lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        if text := text.strip():
            self._file.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def flush(self) -> None:
        self._file.flush()
