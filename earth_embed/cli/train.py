"""`earth-embed train`."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from earth_embed.cli.parsing import parse_parts
from earth_embed.config import Experiment, Method
from earth_embed.config.files import load_experiment
from earth_embed.errors import ConfigError


@dataclass(frozen=True)
class Where:
    """Where a training run reads and writes."""

    run_dir: Path | None = None
    """Directory of the run (default: runs/NAME). A run that is there already is resumed."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""
    profile: bool = False
    """Trace ten steps, into RUN/profile, for TensorBoard or Perfetto."""
    coordinator: str | None = None
    """One of several processes: HOST:PORT of process 0, or "auto" to ask the cluster
    (default: EARTH_EMBED_COORDINATOR, else a TPU pod, Slurm step or Kubernetes job, else alone)."""
    processes: int | None = None
    """How many processes train the run together (default: EARTH_EMBED_PROCESSES)."""
    process: int | None = None
    """Which of them this is, from 0 (default: EARTH_EMBED_PROCESS)."""


def train(arguments: list[str]) -> None:
    """Trains an experiment, or resumes its run."""
    experiment, where = parse_train(arguments)
    run_dir = where.run_dir or Path("runs") / experiment.name
    # Imported late: --help and a typing mistake should not wait for Flax, Optax and Orbax.
    from earth_embed.data.open import open_sources
    from earth_embed.processes import is_main, join, reporting_lost_process
    from earth_embed.step.towers import Towers
    from earth_embed.training import loop
    from earth_embed.training.run_dir import check_run

    Towers(experiment)  # an unknown encoder or a foreign directory is said before any data is read
    check_run(run_dir, experiment)
    join(where.coordinator, where.processes, where.process)
    with reporting_lost_process(run_dir):
        loop.train(experiment, run_dir, open_sources(experiment, where.data_dir), where.profile)
    if is_main():
        print(f"trained {run_dir}; next: earth-embed evaluate {run_dir}")


def parse_train(arguments: list[str]) -> tuple[Experiment, Where]:
    """Reads `train`'s arguments: the file's experiment with every override, and the places."""
    if not arguments or arguments[0].startswith("-"):
        example = "earth-embed train experiments/quickstart.py --steps 100"
        if set(arguments) & {"-h", "--help"}:
            print(
                "usage: earth-embed train EXPERIMENT.py [--run-dir DIR] [--data-dir DIR] "
                "[--method pair|melt|salt] [--FIELD VALUE ...]\n\n"
                "Trains the `experiment` that the file defines; any of its "
                f"fields can be set, such as\n\n    {example}\n\n"
                "earth-embed train EXPERIMENT.py --help explains every field."
            )
            sys.exit(0)
        raise ConfigError(f"train expects an experiment file first, such as: {example}")
    path, overrides = arguments[0], arguments[1:]
    experiment = load_experiment(path)
    if "--method" in overrides:
        experiment = _with_method(experiment, overrides)
    where, experiment = parse_parts(overrides, f"earth-embed train {path}", Where, experiment)
    return experiment, where


def _with_method(experiment: Experiment, overrides: list[str]) -> Experiment:
    """Takes `--method NAME` out of the overrides: the method with its default options.

    The kind decides which fields there are, so it must be known before the others are parsed.
    """
    at = overrides.index("--method")
    kinds = {kind.__name__.lower(): kind for kind in get_args(Method)}
    name = overrides[at + 1] if at + 1 < len(overrides) else ""
    if name not in kinds:
        raise ConfigError(f"--method {name}: expected one of {', '.join(kinds)}")
    del overrides[at : at + 2]
    return dataclasses.replace(experiment, method=kinds[name]())
