"""Steps whose loss or gradient is not finite: the update leaves the state alone, this tells of it.

Reading a number from the device waits for it, so the numbers of all steps stay there until the
loop reads metrics anyway. Nothing is lost by finding out late: such a step changed nothing.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal

import jax
import numpy as np
from jax.experimental import multihost_utils

from earth_embed.errors import FaultWarning, RunError
from earth_embed.processes import several

IN_A_ROW = 100
"""A run that skips so many steps one after another has diverged, and stops."""


ADVICE = (
    "A lower optimizer.learning_rate, or some warmup_steps, in a new run may help; the same "
    "command with --optimizer.not-finite skip goes on without such steps"
)


class Watch:
    """Finds the steps that were not finite, and stops the run or counts them."""

    def __init__(
        self,
        policy: Literal["stop", "skip"],
        batch: Callable[[int], str],
        saved: Callable[[], str],
        skipped: list[int],
    ) -> None:
        """Watches a run from where it stands.

        Args:
            policy: `Optimizer.not_finite`.
            batch: The identity of the batch of the n-th step, counted from 1.
            saved: Says which checkpoint is the last good one.
            skipped: The steps skipped so far.
        """
        self._policy, self._batch, self._saved = policy, batch, saved
        self._skipped = list(skipped)
        self._unread: list[tuple[int, jax.Array, jax.Array]] = []

    def note(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Keeps a step's two numbers, on the device."""
        self._unread.append((step, metrics["loss"], metrics["gradient_norm"]))

    def read(self) -> dict[int, int]:
        """Reads what was noted: {step that was skipped: steps skipped up to it}.

        Each is also a `FaultWarning`.

        Raises:
            RunError: a step was not finite and the run is to stop, or too many were in a row.
        """
        unread, self._unread = jax.device_get(self._unread), []
        found = {}
        for step, loss, norm in unread:
            if np.isfinite(loss) and np.isfinite(norm):
                continue
            fault = (
                f"step {step} is not finite: loss {loss:g}, gradient norm {norm:g}. "
                f"Its batch: {self._batch(step)}."
            )
            if self._policy == "stop":
                raise RunError(f"{fault} It changed nothing; {self._saved()}. {ADVICE}")
            self._skipped.append(step)
            found[step] = len(self._skipped)
            if self._skipped[-IN_A_ROW:] == list(range(step - IN_A_ROW + 1, step + 1)):
                raise RunError(
                    f"{fault} It is the last of {IN_A_ROW} in a row, and none of them changed "
                    f"anything; {self._saved()}"
                )
            warnings.warn(f"{fault} It is skipped", FaultWarning, stacklevel=2)
        return found


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
