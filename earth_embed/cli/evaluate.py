"""`earth-embed evaluate` and `earth-embed diagnose`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from earth_embed.cli.parsing import DataDir, RunArgument, Which, parse_parts
from earth_embed.errors import ConfigError
from earth_embed.progress import phase


@dataclass(frozen=True)
class Evaluate:
    """Score a run beside its baselines. Writes results.json and report.html into RUN/evaluation."""

    run: RunArgument
    """Directory of the run."""
    also: tuple[Path, ...] = ()
    """More runs to show in the same tables."""
    task: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="NAME=FILE[:FIELD][:FORM]"),
    ] = ()
    """A task of your own. FILE is a raster (FIELD is its band), or polygons or a table of places
    (FIELD is a column); FORM is "class" or "log". See docs/pages/how-to/tasks.md."""
    split: Literal["test", "validation"] = "test"
    """Labels to score on: "test" for scores to publish, "validation" to choose settings."""
    which: Which = "last"
    """Checkpoint: the last, or the best by validation retrieval@1."""
    labels: Literal["full", "large", "tiny"] = "full"
    """Label set: full has 20k places, large 250k (for probes with 100k labels), tiny 1.5k (for a
    quick look)."""
    data_dir: DataDir = None
    """Directory of TFDS data sets."""
    diagnose: bool = False
    """First diagnose the run's last checkpoint, as `earth-embed diagnose` does. The report includes
    the run's diagnosis, new or old, if it is of the evaluated checkpoint."""
    unverified: bool = False
    """Use the newest checkpoint that can be read, even if its checksums do not match."""


def evaluate(arguments: list[str]) -> None:
    """Scores a run beside its baselines."""
    from earth_embed.evaluation.settings import Settings

    options, settings = parse_parts(
        arguments, "earth-embed evaluate", Evaluate, Settings, description=Evaluate.__doc__
    )
    # Imported late, as in every command: --help does not wait for JAX, SciPy and Matplotlib.
    with phase("importing JAX, scikit-learn and Matplotlib"):
        from earth_embed.diagnosis.results import read_section
        from earth_embed.diagnosis.run import diagnose_run
        from earth_embed.evaluation.run import evaluate_run
        from earth_embed.tasks.user_tasks import parse_tasks

    own_tasks = parse_tasks(options.task)
    if options.diagnose:
        if options.which != "last":
            raise ConfigError(
                f"--diagnose with --which {options.which}: expected --which last, since a run is "
                "diagnosed in its last state"
            )
        diagnose_run(options.run, data_dir=options.data_dir, unverified=options.unverified)
    evaluate_run(
        options.run,
        split=options.split,
        which=options.which,
        data_dir=options.data_dir,
        label_config=options.labels,
        settings=settings,
        own_tasks=own_tasks,
        extra_runs=options.also,
        diagnosis=read_section(options.run, options.which, options.unverified),
        unverified=options.unverified,
    )


@dataclass(frozen=True)
class Diagnose:
    """Find out what limits a run. Writes diagnosis.json and report.html into RUN/diagnosis."""

    run: RunArgument
    """Directory of the run."""
    data_dir: DataDir = None
    """Directory of TFDS data sets."""
    unverified: bool = False
    """Use the newest checkpoint that can be read, even if its checksums do not match."""


def diagnose(arguments: list[str]) -> None:
    """Finds out what limits a run."""
    from earth_embed.diagnosis import Settings

    options, settings = parse_parts(
        arguments, "earth-embed diagnose", Diagnose, Settings, description=Diagnose.__doc__
    )
    with phase("importing JAX and Matplotlib"):
        from earth_embed.diagnosis.run import diagnose_run

    diagnosis = diagnose_run(
        options.run, data_dir=options.data_dir, settings=settings, unverified=options.unverified
    )
    for name, found in diagnosis.modalities.items():
        print(
            f"{name}: loss {found.loss:.3f} on {found.trained_on} training examples, of which "
            f"{found.encoder_share:.0%} is due to the location encoder (the oracle's: "
            f"{found.floor:.3f})"
        )
    locations = diagnosis.locations
    half = locations.similarity.half_sill_km
    print(
        f"locations: effective rank {locations.effective_rank:.1f}, intrinsic dimension "
        f"{locations.intrinsic_dimension:.1f}, "
        + ("no half-sill" if half is None else f"half-sill {half:,.0f} km")
    )
    print(f"wrote {options.run / 'diagnosis' / 'report.html'}")
