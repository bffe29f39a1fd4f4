"""Errors that a user can cause; the command prints their message without a traceback."""

from __future__ import annotations

import sys


class EarthEmbedError(Exception):
    """Base of all errors that a user's input, files or machine can cause."""


class CoordinateError(EarthEmbedError, ValueError):
    """Coordinates are not (lon, lat) in degrees."""


class ConfigError(EarthEmbedError, ValueError):
    """An experiment's settings are unknown, out of range or contradict each other."""


class DataError(EarthEmbedError, ValueError):
    """A data set is missing, empty or unreadable, or lacks what was asked for."""


class RunError(EarthEmbedError, RuntimeError):
    """A run directory cannot be written, holds another configuration, or is no run at all."""


class CheckpointError(RunError):
    """A checkpoint is missing or corrupt."""


class Interrupted(EarthEmbedError):
    """Training was asked to stop, by `signal` (Ctrl-C's or SIGTERM), and saved its state first."""

    def __init__(self, message: str, signal: int) -> None:
        """Takes the message and the signal's number."""
        super().__init__(message)
        self.signal = signal


class ProcessLost(EarthEmbedError):
    """Another process of the run is gone, and this one cannot go on alone."""


class FaultWarning(UserWarning):
    """Something went wrong and was handled: a checkpoint passed over, a step skipped."""


def require(package: str, extra: str, purpose: str) -> EarthEmbedError:
    """Returns the error for a missing optional package.

    Args:
        package: The import that failed.
        extra: The extra of `earth-embed` that installs it.
        purpose: What needs it, the subject of "… needs the package".
    """
    how = f'pip install "earth-embed[{extra}]"'
    if package.partition(".")[0] == "array_record" and sys.platform == "win32":
        how = "it is not built for Windows; expected Linux, macOS or WSL"
    return EarthEmbedError(f"{purpose} needs the package {package!r}: {how}")
