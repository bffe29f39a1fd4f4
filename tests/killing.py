"""Kills a piece of work in this process, at the n-th event of the file system below a folder.

The moments are Python's audit events (files opened, renamed, removed, folders made and listed), so
they do not depend on how quick the machine is. What compiled code does between two of them, such as
Arrow's or TensorStore's writing, is not seen. Only the thread that asks is killed.
"""

import contextlib
import os
import sys
import threading


class Killed(BaseException):
    """In place of the end of the process."""


_here = threading.local()


def _look(event, arguments):
    watch = getattr(_here, "watch", None)
    if watch is None or not event.startswith(("open", "os.", "shutil.")) or not arguments:
        return
    path = arguments[0]
    if isinstance(path, os.PathLike | str | bytes) and os.fsdecode(path).startswith(watch.folder):
        watch.seen += 1
        if watch.seen == watch.moment or (watch.for_ever and watch.seen > watch.moment):
            raise Killed(f"at event {watch.moment}: {event} {path}")


sys.addaudithook(_look)  # for good, but it looks only where `_watched` says


class _Watch:
    def __init__(self, folder, moment, for_ever):
        self.folder, self.moment, self.for_ever, self.seen = str(folder), moment, for_ever, 0


@contextlib.contextmanager
def _watched(folder, moment, for_ever):
    _here.watch = watch = _Watch(folder, moment, for_ever)
    try:
        yield watch
    finally:
        _here.watch = None


def events_below(folder, work):
    """The number of events of some work."""
    with _watched(folder, sys.maxsize, False) as watch:
        work()
    return watch.seen


def killed_at(folder, moment):
    """As SIGKILL does: from the event on, counted from 0, nothing below the folder changes."""
    return _watched(folder, moment + 1, True)


def stopped_at(folder, moment):
    """As a signal's handler does that raises: what follows can clean up."""
    return _watched(folder, moment + 1, False)
