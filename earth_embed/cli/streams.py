"""Standard output and standard error of the command's own process, whatever they are connected to.

A reader that has left, such as `head`, ends the command in silence; a full disk, with one line.
"""

from __future__ import annotations

import os
import sys
from typing import Any


class OutputLost(BaseException):
    """A standard stream cannot be written; no handler of ordinary errors should take it for one.

    Attributes:
        reason: The stream's error.
    """

    def __init__(self, reason: OSError) -> None:
        """Takes the stream's error."""
        super().__init__(str(reason))
        self.reason = reason


class _Stream:
    """A text stream that raises OutputLost, and is silent from then on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError as error:
            raise self._lost(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise self._lost(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lost(self, error: OSError) -> OutputLost:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())  # what is left in the buffer goes there
        os.close(nowhere)
        return OutputLost(error)


def take_over() -> None:
    """Replaces the standard streams; characters that they cannot show are escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            stream = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
        stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, _Stream(stream))
