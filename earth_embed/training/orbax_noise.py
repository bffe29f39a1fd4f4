"""One short message of a failure in Orbax, instead of pages."""

from __future__ import annotations

import functools
import logging
import re
import sys
from typing import Any


def cause(error: Exception) -> str:
    """What an error says, in one line.

    TensorStore appends its whole specification, and begins with what it was doing.
    """
    lines = re.split(r" \[\w+(?:\[\d+\])?='", str(error).strip())[0].splitlines()
    cause = lines[0] if lines else type(error).__name__
    return cause if len(cause) <= 300 else f"{cause[:120]} … {cause[-160:]}"


@functools.cache
def quieten_orbax() -> None:
    """Leaves one error of a failure: ours, that of the first array that could not be moved.

    Orbax then abandons the other arrays, and each puts a traceback on the console: through the logs
    of Abseil and asyncio, from TensorStore's threads, or when it is garbage collected.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    show = sys.unraisablehook

    def show_others(unraisable: Any) -> None:
        code = getattr(unraisable.object, "cr_code", None)
        of_orbax = code is not None and "orbax" in code.co_filename
        if not of_orbax and str(unraisable.exc_value) != "Event loop is closed":
            show(unraisable)

    sys.unraisablehook = show_others
