"""A run's metrics for TensorBoard: an optional view of what metrics.jsonl records.

tensorboardX's own writer fills a queue that a thread empties. On a full disk that thread dies, and
training then waits for room in the queue for ever. Here events are written as they come.
"""

from __future__ import annotations

import contextlib
import socket
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earth_embed.errors import FaultWarning

FLUSH_SECONDS = 30


class TensorBoard:
    """Appends scalars to an event file; if that cannot be written, it is told once and given up."""

    def __init__(self, folder: Path, start: int) -> None:
        """Opens a new event file, which replaces what others hold of the steps after `start`.

        Without tensorboardX nothing is ever written.
        """
        self._file: Any = None
        try:
            from tensorboardX.proto.event_pb2 import Event, SessionLog
            from tensorboardX.record_writer import RecordWriter
            from tensorboardX.summary import scalar
        except ImportError:
            return
        self._event, self._scalar, self._flushed = Event, scalar, time.monotonic()
        with self._given_up_on_failure():
            folder.mkdir(exist_ok=True)
            name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
            self._file = RecordWriter(str(folder / name))
            self._append(file_version="brain.Event:2")
            self._append(step=start + 1, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends one step's values."""
        if self._file is None:
            return
        with self._given_up_on_failure():
            for name, value in values.items():
                self._append(step=step, summary=self._scalar(name, value))
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._flushed = time.monotonic()
                self._file.flush()

    def close(self) -> None:
        """Writes what is left."""
        if self._file is not None:
            with self._given_up_on_failure():
                self._file.close()

    def _append(self, **fields: Any) -> None:
        self._file.write(self._event(wall_time=time.time(), **fields).SerializeToString())

    @contextlib.contextmanager
    def _given_up_on_failure(self) -> Any:
        try:
            yield
        except OSError as error:
            file, self._file = self._file, None
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
            message = f"TensorBoard's view of the run is no longer written: {error.strerror}"
            warnings.warn(message, FaultWarning, stacklevel=4)
