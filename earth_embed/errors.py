"""The errors that a user can cause, each with one clear message and no traceback on the CLI."""

from __future__ import annotations


class EarthEmbedError(Exception):
    """Base of every error that a user's input, files or machine can cause."""


class CoordinateError(EarthEmbedError, ValueError):
    """Coordinates are not (lon, lat) in degrees."""


class ConfigError(EarthEmbedError, ValueError):
    """An experiment's settings are unknown, out of range or contradict each other."""


class DataError(EarthEmbedError, ValueError):
    """A data set is missing, empty, unreadable or lacks what was asked of it."""


class RunError(EarthEmbedError, RuntimeError):
    """A run directory cannot be written, is foreign, or holds another configuration."""


class CheckpointError(RunError):
    """A checkpoint is missing or corrupt."""


class Interrupted(EarthEmbedError):
    """Training was asked to stop (Ctrl-C or SIGTERM) and saved its state first.

    Attributes:
        signal: The signal's number.
    """

    def __init__(self, message: str, signal: int) -> None:
        """Takes the message and the signal's number."""
        super().__init__(message)
        self.signal = signal


class ProcessLost(EarthEmbedError):
    """Another process of the run is gone, and this one cannot go on alone."""


class FaultWarning(UserWarning):
    """Something went wrong and was dealt with: a checkpoint passed over, a step skipped."""


def require(package: str, extra: str, purpose: str) -> EarthEmbedError:
    """Returns the error for a missing optional package.

    Args:
        package: The import that failed.
        extra: The extra of `earth-embed` that installs it.
        purpose: What needs it, to complete "... needs".
    """
    return EarthEmbedError(
        f'{purpose} needs the package {package!r}: pip install "earth-embed[{extra}]"'
    )
