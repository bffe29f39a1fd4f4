"""A run's metrics: JSON lines, TensorBoard, a progress bar and a figure of the curves."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earth_embed.errors import FaultWarning, RunError
from earth_embed.files import atomic_output, write_text
from earth_embed.processes import is_main
from earth_embed.progress import bar

METRICS_FILE = "metrics.jsonl"

FLUSH_SECONDS = 30
"""How often TensorBoard's file is flushed."""


def open_records(run_dir: Path, start: int, steps: int) -> Records:
    """Records in process 0; in other processes, records that write nothing."""
    return Records(run_dir, start, steps) if is_main() else NoRecords()


class Records:
    """Writes a run's metrics. A resumed run continues from its checkpoint."""

    def __init__(self, run_dir: Path, start: int, steps: int) -> None:
        """Drops what was recorded after the checkpoint at step `start`; the rest is appended to."""
        self._path = run_dir / METRICS_FILE
        kept = [line for line in read_metrics(run_dir) if line["step"] <= start]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._tensorboard = TensorBoard(run_dir / "tensorboard", start)
        self._bar = bar(initial=start, total=steps, unit="step", desc="train")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Records a step's metrics and shows its loss and retrieval in the progress bar.

        Raises:
            RunError: the disk is full or cannot be written.
        """
        try:
            with self._path.open("a") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise RunError(f"cannot write {self._path}: {error.strerror}") from error
        self._tensorboard.write(step, values)
        shown = {k: f"{v:.3f}" for k, v in values.items() if k == "loss" or k.startswith("retr")}
        if shown:
            self._bar.set_postfix(shown, refresh=False)

    def advance(self) -> None:
        """Advances the progress bar by one step."""
        self._bar.update()

    def close(self) -> None:
        """Flushes everything."""
        self._bar.close()
        self._tensorboard.close()


class NoRecords(Records):
    """Records that write nothing."""

    def __init__(self) -> None:
        """Opens nothing."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Does nothing."""

    def advance(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The recorded lines that can be read; a crash may have cut the last one short."""
    try:
        text = (run_dir / METRICS_FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"cannot read {run_dir / METRICS_FILE}: {error.strerror}") from error
    lines = []
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        numbers = isinstance(values, dict) and {*map(type, values.values())} <= {int, float}
        if numbers and type(values.get("step")) is int:
            lines.append(values)
    return lines


def skipped_steps(run_dir: Path) -> list[int]:
    """The steps skipped because they were not finite."""
    return [line["step"] for line in read_metrics(run_dir) if "skipped_steps" in line]


def draw_curves(run_dir: Path) -> Path | None:
    """Draws training.png: loss, retrieval@1 and logit scale by step; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    lines = read_metrics(run_dir)
    names = sorted({name for line in lines for name in line} - {"step"})
    panels = {
        "loss": [n for n in names if "loss" in n],
        "retrieval@1": [n for n in names if "retrieval@1" in n],
        "logit scale 1/τ": [n for n in names if n.startswith("logit_scale")],
    }
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    for axes, (title, shown) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for name in shown:
            points = [(line["step"], line[name]) for line in lines if name in line]
            style = "--" if name.startswith("validation") else "-"
            axes.plot(*zip(*points, strict=True), style, lw=1.2, label=name)
        axes.set(title=title, xlabel="step")
        if shown:
            axes.legend(fontsize=7, frameon=False)
        axes.grid(alpha=0.3)
    path = run_dir / "training.png"
    with atomic_output(path) as temporary:
        figure.savefig(temporary, dpi=120)
    return path


class TensorBoard:
    """Appends scalars to an event file. If it cannot be written, warns once and gives up."""

    def __init__(self, folder: Path, start: int) -> None:
        """Opens a new event file, which supersedes the steps after `start` in older ones.

        Without tensorboardX nothing is written.
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
        """Flushes and closes the file."""
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
