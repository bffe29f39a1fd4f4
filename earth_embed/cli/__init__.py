"""The command `earth-embed`: train, evaluate, diagnose, embed, map, import, features, prepare."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from tqdm import tqdm

from earth_embed.cli.evaluate import diagnose, evaluate
from earth_embed.cli.prepare import features, import_run, prepare
from earth_embed.cli.serve import draw_map, embed
from earth_embed.cli.train import train
from earth_embed.errors import EarthEmbedError, FaultWarning, Interrupted, ProcessLost

USAGE = """usage: earth-embed COMMAND ...

  train EXPERIMENT      train the experiment of a Python file, or resume its run
  evaluate RUN          score a run beside its baselines
  diagnose RUN          say what limits a run
  embed RUN TABLE       add embeddings to a table of places
  map RUN               draw the embeddings of the whole Earth
  import satclip FILE   turn published weights (satclip or geoclip) into a run
  features ENCODER ...  run a frozen encoder over a data set, once
  prepare DATASET       make a data set on disk, or check the one that is there

earth-embed COMMAND --help explains a command's options."""


USER_ERROR, INTERRUPTED, LOST = 2, 130, 75
"""Exit status after a user's mistake, after Ctrl-C outside training, and when another process of
the run is gone. A training that a signal stopped has saved its state and ends with 128 + signal:
130 (SIGINT) or 143 (SIGTERM)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; a user's mistake ends in one message and status 2, without a traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": train,
        "evaluate": evaluate,
        "diagnose": diagnose,
        "embed": embed,
        "map": draw_map,
        "import": import_run,
        "features": features,
        "prepare": prepare,
    }
    name = arguments[0] if arguments else "--help"
    if name in ("--help", "-h"):
        print(USAGE)
        return
    try:
        if name == "--version":
            from earth_embed import __version__

            print(__version__)
        elif name in commands:
            with _faults_in_one_line():
                commands[name](arguments[1:])
        else:
            raise EarthEmbedError(f"no command {name!r}; expected one of {', '.join(commands)}")
    except Interrupted as error:  # all processes alike, so they end in order
        print(error, file=sys.stderr)
        sys.exit(128 + error.signal)
    except ProcessLost as error:
        _fail(f"error: {error}", LOST)
    except EarthEmbedError as error:
        _fail(f"error: {error}", USER_ERROR)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)


def _fail(message: str, status: int) -> NoReturn:
    print(message, file=sys.stderr)
    if "jax" in sys.modules:
        from earth_embed.processes import leave

        leave(status)
    sys.exit(status)


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
