"""`earth-embed train`."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

from earth_embed.cli.parsing import (
    Coordinator,
    DataDir,
    ProcessCount,
    ProcessNumber,
    optional,
    parse_parts,
)
from earth_embed.config import Experiment, Method
from earth_embed.config.files import load_experiment
from earth_embed.errors import ConfigError
from earth_embed.progress import be_quiet, phase


@dataclass(frozen=True)
class Where:
    """Where a run reads and writes, and which processes train it."""

    run_dir: Annotated[Path | None, optional("runs/NAME", "DIR")] = None
    """Directory of the run. An existing run is resumed."""
    data_dir: DataDir = None
    """Directory of TFDS data sets."""
    init_from: Annotated[Path | None, optional("fresh weights", "RUN")] = None
    """A run whose weights a new run begins with, at step 0 and with a fresh optimizer. Any setting
    may differ except the location encoder's."""
    profile: bool = False
    """Write a profile of ten steps to RUN/profile, for TensorBoard or Perfetto."""
    unverified: bool = False
    """Resume from the newest checkpoint that can be read, even if its checksums do not match."""
    coordinator: Coordinator = None
    """To train with several processes: the address of process 0, or "auto" to ask the cluster."""
    processes: ProcessCount = None
    """Number of processes that train the run together."""
    process: ProcessNumber = None
    """Number of this process, from 0."""


def train(arguments: list[str]) -> None:
    """Trains an experiment, or resumes its run."""
    experiment, where = parse_train(arguments)
    run_dir = where.run_dir or Path("runs") / experiment.name
    # Imported late: --help and a typing mistake should not wait for Flax, Optax and Orbax.
    with phase("importing Flax, Optax and Orbax"):
        from earth_embed.data import open_sources
        from earth_embed.processes import is_main, join, reporting_lost_process
        from earth_embed.training import loop

    with phase("starting JAX on its devices"):
        join(where.coordinator, where.processes, where.process)
        if not is_main():
            be_quiet()
    with reporting_lost_process(run_dir):
        sources = partial(open_sources, experiment, where.data_dir)
        loop.train(experiment, run_dir, sources, where.profile, where.unverified, where.init_from)
    if is_main():
        print(f"trained {run_dir}; next: earth-embed evaluate {run_dir}")


def parse_train(arguments: list[str]) -> tuple[Experiment, Where]:
    """Reads the arguments: the experiment with its overrides, and where it reads and writes."""
    if not arguments or arguments[0].startswith("-"):
        example = "earth-embed train quickstart --steps 100"
        if set(arguments) & {"-h", "--help"}:
            print(
                "usage: earth-embed train EXPERIMENT [--run-dir DIR] [--data-dir DIR] "
                "[--method pair|melt|salt] [--FIELD VALUE ...]\n\n"
                "Trains an experiment:\n\n"
                "    FILE.py         the `experiment` that the file defines\n"
                "    FILE.py:NAME    one of the file's `experiments`, a dictionary\n"
                "    quickstart      the one that comes with the package\n\n"
                f"Any of its fields can be set, such as\n\n    {example}\n\n"
                "earth-embed train EXPERIMENT --help explains every field."
            )
            sys.exit(0)
        raise ConfigError(f"train expects an experiment file first, such as: {example}")
    source, overrides = arguments[0], arguments[1:]
    experiment, overrides = _with_method(load_experiment(source), overrides)
    where, experiment = parse_parts(overrides, f"earth-embed train {source}", Where, experiment)
    return experiment, where


def _with_method(experiment: Experiment, overrides: list[str]) -> tuple[Experiment, list[str]]:
    """Applies `--method NAME` or `--method=NAME`, and returns the other overrides.

    The method decides which fields there are, so it must be known before the others are parsed. It
    starts with its default options.
    """
    words: list[str] = []
    for word in overrides:
        words += word.split("=", 1) if word.startswith("--method=") else [word]
    if "--method" not in words:
        return experiment, words
    at = words.index("--method")
    methods = {method.__name__.lower(): method for method in get_args(Method)}
    name = words[at + 1] if at + 1 < len(words) else ""
    if name not in methods:
        raise ConfigError(f"--method {name}: expected one of {', '.join(methods)}")
    changed = dataclasses.replace(experiment, method=methods[name]())
    return changed, words[:at] + words[at + 2 :]
