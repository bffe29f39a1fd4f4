"""The command `earth-embed` and its subcommands.

Each subcommand parses its options, calls the package and prints. Nothing is computed here.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, cast

from tqdm import tqdm

from earth_embed.cli import streams
from earth_embed.errors import EarthEmbedError, FaultWarning, Interrupted, ProcessLost
from earth_embed.progress import command, phase

COMMANDS = {
    "train": ("train", "train", "training an experiment"),
    "evaluate": ("evaluate", "evaluate", "scoring a run beside its baselines"),
    "diagnose": ("evaluate", "diagnose", "finding out what limits a run"),
    "embed": ("serve", "embed", "adding embeddings to a table of places"),
    "map": ("serve", "draw_map", "drawing a world map of embeddings"),
    "import": ("prepare", "import_run", "turning published weights into a run"),
    "features": ("prepare", "features", "encoding a data set with a frozen encoder"),
    "prepare": ("prepare", "prepare", "preparing a data set"),
}
"""Command → its module in this folder, its function there, and what it does. The modules are
imported late, so that a command speaks before it waits for JAX."""

USAGE = """usage: earth-embed COMMAND ...

  train EXPERIMENT      train the experiment of a Python file, or resume its run
  evaluate RUN          score a run beside its baselines
  diagnose RUN          find out what limits a run
  embed RUN TABLE       add embeddings to a table of places
  map RUN               draw a world map of the embeddings
  import satclip FILE   turn published weights (satclip or geoclip) into a run
  features ENCODER ...  encode a data set with a frozen encoder, once
  prepare DATASET       prepare a data set on disk, or check the one that is there

earth-embed COMMAND --help explains a command's options."""

USER_ERROR, LOST = 2, 75
"""Exit status after a user's mistake, and after the loss of another process of the run. A command
stopped by a signal exits with 128 + signal: 130 (SIGINT, Ctrl-C) or 143 (SIGTERM); training saves
its state first. So does one whose output nobody reads any more: 141 (SIGPIPE), without a word."""

SIGPIPE = 13
"""Python ignores the signal, and Windows has none."""


class Terminated(KeyboardInterrupt):
    """SIGTERM asked the command to end."""


def program() -> None:
    """The command as a process of its own: what it changes for the whole process is its own."""
    _silence_orbax()
    streams.take_over()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except streams.OutputLost as lost:
        if isinstance(lost.reason, BrokenPipeError):
            _leave(128 + SIGPIPE)
        with suppress(streams.OutputLost):  # standard error may be on the same disk
            print(
                f"error: cannot write to standard output: {lost.reason.strerror}", file=sys.stderr
            )
        _leave(USER_ERROR)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; a user's mistake ends in one message and status 2, without a traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else "--help"
    if name in ("--help", "-h"):
        print(USAGE)
        return
    try:
        _check_encoding(arguments)
        if name == "--version":
            from earth_embed import __version__

            print(__version__)
        elif name in COMMANDS:
            with _faults_in_one_line(), command(_opening(name, arguments[1:])):
                _command(name)(arguments[1:])
        else:
            raise EarthEmbedError(f"no command {name!r}; expected one of {', '.join(COMMANDS)}")
    except Interrupted as error:  # in all processes alike, so they exit in order
        print(error, file=sys.stderr)
        sys.exit(128 + error.signal)
    except ProcessLost as error:
        _fail(f"error: {error}", LOST)
    except EarthEmbedError as error:
        _fail(f"error: {error}", USER_ERROR)
    except UnicodeEncodeError as error:
        _fail(
            f"error: {error.object!a} is not a name in this process's encoding, "
            f"{sys.getfilesystemencoding()}: expected UTF-8, such as with LC_ALL=C.UTF-8",
            USER_ERROR,
        )
    except OSError as error:  # what no command foresaw, such as a path that is too long
        reason = error.strerror or error
        where = "" if error.filename is None else f"{error.filename}: "
        _fail(f"error: {where}{reason}", USER_ERROR)
    except MemoryError as error:
        _fail(f"error: not enough memory: {error}", USER_ERROR)
    except Terminated:
        _fail("terminated", 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        _fail("interrupted", 128 + signal.SIGINT)


def _opening(name: str, arguments: list[str]) -> str | None:
    """What the command says first; None if it is to print its help, or is not process 0."""
    given = re.search(r"--process[ =](\d+)", " ".join(arguments))
    process = given[1] if given else os.environ.get("EARTH_EMBED_PROCESS", "0")
    if process != "0" or {"-h", "--help"} & set(arguments):
        return None
    _, _, doing = COMMANDS[name]
    what = [word for word in arguments[:1] if not word.startswith("-")]
    return f"{' '.join(['earth-embed', name, *what])}: {doing}"


def _command(name: str) -> Callable[[list[str]], None]:
    module, function, _ = COMMANDS[name]
    with phase("importing the command"):
        found = importlib.import_module(f"earth_embed.cli.{module}")
    return cast(Callable[[list[str]], None], getattr(found, function))


def _fail(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    _leave(status)


def _leave(status: int) -> NoReturn:
    if "jax" in sys.modules:
        from earth_embed.processes import leave

        leave(status)
    sys.exit(status)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Lets SIGTERM clean up as Ctrl-C does."""
    raise Terminated


def _check_encoding(arguments: Sequence[str]) -> None:
    """Raises a UnicodeEncodeError if a name is not text; Orbax and Arrow would, but much later."""
    with suppress(OSError):  # the working directory may be gone
        arguments = [*arguments, os.getcwd()]
    for argument in arguments:
        argument.encode()


@contextmanager
def _faults_in_one_line() -> Iterator[None]:
    """Shows each `FaultWarning` as one line on stderr, above a progress bar if there is one."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_fault(message: Any, category: type[Warning], *rest: Any, **kwargs: Any) -> None:
            if issubclass(category, FaultWarning):
                tqdm.write(f"warning: {message}", file=sys.stderr)
            else:
                show(message, category, *rest, **kwargs)

        warnings.simplefilter("always", FaultWarning)
        warnings.showwarning = show_fault
        yield


def _silence_orbax() -> None:
    """Leaves one error of a failed save or restore: ours.

    Orbax abandons the other arrays, and each puts a traceback on the console: through the loggers
    of Abseil and asyncio, from TensorStore's threads, or as it is garbage collected. That goes on
    until the process ends, so only the command's own process is silenced, and nobody else's.
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
