"""What stops a run early: steps that are not finite, and signals.

The update itself leaves the state unchanged if the loss or the gradient is not finite; `Watch`
reports such steps. Reading a number waits for the device, so the numbers stay there until the loop
reads metrics anyway. Finding out late costs nothing, since such a step changed nothing.
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
"""A run that skips this many consecutive steps has diverged, and stops."""

ADVICE = (
    "A lower optimizer.learning_rate, or some warmup_steps, in a new run may help; the same "
    "command with --optimizer.not-finite skip goes on without such steps"
)


class Watch:
    """Finds the steps that were not finite; stops the run or counts them."""

    def __init__(
        self,
        policy: Literal["stop", "skip"],
        batch: Callable[[int], str],
        saved: Callable[[], str],
        skipped: list[int],
    ) -> None:
        """Starts at the run's present step.

        `batch` describes the batch of the n-th step, counted from 1; `saved` names the last good
        checkpoint; `skipped` lists the steps skipped so far.
        """
        self._policy, self._batch, self._saved = policy, batch, saved
        self._skipped = list(skipped)
        self._unread: list[tuple[int, jax.Array, jax.Array]] = []

    def note(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Keeps a step's loss and gradient norm on the device."""
        self._unread.append((step, metrics["loss"], metrics["gradient_norm"]))

    def read(self) -> dict[int, int]:
        """Reads what was noted. Each skipped step is also a `FaultWarning`.

        Returns:
            Skipped step → number of steps skipped up to it.

        Raises:
            RunError: a step was not finite and the policy is to stop, or too many were skipped in
                a row.
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
    """Whether Ctrl-C or SIGTERM has asked the loop to stop: `signal`, or None."""

    signal: int | None = None

    def now(self, step: int) -> bool:
        """Whether to stop after this step, the same step in all processes."""
        if not several():
            return self.signal is not None
        # JAX's runtime handles SIGTERM itself and tells the other processes.
        stop = multihost_utils.reached_preemption_sync_point(step)
        if stop and self.signal is None:
            self.signal = signal.SIGTERM
        return stop


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Notes signals in the yielded object instead of letting them interrupt a step.

    A second signal acts as usual, and the handlers are restored at the end. Only the main thread
    may set handlers; in other threads, signals keep their effect.
    """
    stop = Stop()
    previous: dict[signal.Signals, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        signal.signal(number, previous[signal.Signals(number)])
        if several():
            os.kill(os.getpid(), signal.SIGTERM)  # JAX's runtime tells the others

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
