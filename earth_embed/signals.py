"""Ctrl-C and SIGTERM, which stop a training between two steps, in all its processes at the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from jax.experimental import multihost_utils

from earth_embed.processes import several


class Stop:
    """Ctrl-C and SIGTERM, as a question that a loop asks between steps.

    Attributes:
        signal: The signal that asked to stop; None so far.
    """

    signal: int | None = None

    def now(self, step: int) -> bool:
        """Whether to stop after this step; all processes are told the same step to stop at."""
        if not several():
            return self.signal is not None
        # The runtime has its own handler of SIGTERM, and spreads the word.
        stop = multihost_utils.reached_preemption_sync_point(step)
        if stop and self.signal is None:
            self.signal = signal.SIGTERM
        return stop


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Signals are noted in what is yielded, instead of tearing a step apart.

    A second one acts as usual. Only the main thread may set handlers; elsewhere nothing changes.
    """
    stop = Stop()
    previous: dict[signal.Signals, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        signal.signal(number, previous[signal.Signals(number)])
        if several():
            os.kill(os.getpid(), signal.SIGTERM)  # to the runtime, which tells the others

    try:
        for number in (signal.SIGINT,) if several() else (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.getsignal(number)
            signal.signal(number, note)
    except ValueError:
        previous.clear()
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
