"""Kills a piece of work in this process, at the n-th event of the file system below a folder.

The moments are Python's audit events (files opened, renamed, removed, folders made and listed), so
they do not depend on how quick the machine is. What compiled code does between two of them, such as
Arrow's or TensorStore's writing, is not seen. Only the thread that asks is killed.
"""

import contextlib
import os
import signal
import sys
import threading

import numpy as np


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
            watch.end(f"at {event} {path}")


sys.addaudithook(_look)  # for good, but it looks only where `_watched` says


class _Watch:
    def __init__(self, folder, moment, for_ever):
        self.folder, self.moment, self.for_ever, self.seen = str(folder), moment, for_ever, 0

    def end(self, where):
        raise Killed(where)


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


def assert_survives(make, work, tries=None, seed=0):
    """Work that is killed and done again ends with the same files, byte for byte, and no others.

    Args:
        make: Makes a fresh folder of a given name, and returns it.
        work: Does the work in a folder.
        tries: Number of moments for each way to be killed, drawn with the seed; None for all.
        seed: Printed, if a test fails.
    """
    whole = make("whole")
    total = events_below(whole, lambda: work(whole))
    rng, died = np.random.default_rng(seed), 0
    for kill in (killed_at, stopped_at):
        moments = range(total) if tries is None else rng.choice(total, min(tries, total), False)
        for moment in map(int, moments):
            folder = make(f"{kill.__name__}-{moment}")
            try:
                with kill(folder, moment):
                    work(folder)
            except Killed as killed:
                died += 1
                print(f"seed {seed}: {kill.__name__} {moment} of {total}, {killed}")
            work(folder)
            assert tree(folder) == tree(whole), f"seed {seed}: {kill.__name__} {moment} of {total}"
    assert died >= tries if tries else died == 2 * total


def tree(folder):
    """Everything below a folder: the bytes of files, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def _end_by_signal(number, folder, moment):
    """Lets this process send itself a signal at an event; all later events go their way."""

    class Signal(_Watch):
        def end(self, where):
            os.kill(os.getpid(), number)

    _here.watch = Signal(folder, moment + 1, False)


if __name__ == "__main__":  # python -m tests.killing SIGTERM FOLDER MOMENT COMMAND…
    from earth_embed.cli import program

    name, below, when, *command = sys.argv[1:]
    _end_by_signal(signal.Signals[name], below, int(when))
    sys.argv[1:] = command
    program()
