"""`earth-embed evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from earth_embed.cli.parsing import parse_parts
from earth_embed.errors import ConfigError


@dataclass(frozen=True)
class Evaluate:
    """Scores a run beside its baselines; writes results.json and report.html into the run."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of the run."""
    also: tuple[Path, ...] = ()
    """Further runs, as rows of the same tables."""
    task: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A task of your own, NAME=FILE[:FIELD][:FORM]; may be given more than once. FILE is a raster
    (FIELD its band), polygons or a table of places (FIELD a column); FORM is "class" or "log". See
    docs/pages/how-to/tasks.md."""
    split: Literal["test", "validation"] = "test"
    """Labels to score on: "validation" to choose settings, "test" to publish."""
    which: Literal["last", "best"] = "last"
    """Checkpoint: the last, or the best by validation retrieval@1."""
    labels: Literal["full", "large", "tiny"] = "full"
    """Label set: about 20,000 places, 250,000 for probes of 100,000 labels, or 1,500 for a quick
    look."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""
    diagnose: bool = False
    """Say what limits the run first, as `earth-embed diagnose` does. The report shows the run's
    diagnosis, made now or before, if it is of the same checkpoint; that is the last."""


def evaluate(arguments: list[str]) -> None:
    """Scores a run beside its baselines."""
    from earth_embed.diagnosis.report import read_section
    from earth_embed.diagnosis.run import diagnose_run
    from earth_embed.evaluation.run import evaluate_run
    from earth_embed.evaluation.settings import Settings
    from earth_embed.tasks.user_tasks import parse_tasks

    options, settings = parse_parts(arguments, "earth-embed evaluate", Evaluate, Settings)
    own_tasks = parse_tasks(options.task)
    if options.diagnose:
        if options.which != "last":
            raise ConfigError(
                f"--diagnose with --which {options.which}: expected --which last, since a run is "
                "diagnosed in its last state"
            )
        diagnose_run(options.run, data_dir=options.data_dir)
    evaluate_run(
        options.run,
        split=options.split,
        which=options.which,
        data_dir=options.data_dir,
        label_config=options.labels,
        settings=settings,
        own_tasks=own_tasks,
        extra_runs=options.also,
        diagnosis=read_section(options.run, options.which),
    )


@dataclass(frozen=True)
class Diagnose:
    """Says what limits a run; writes diagnosis.json and report.html into RUN/diagnosis."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of the run."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""


def diagnose(arguments: list[str]) -> None:
    """Says what limits a run."""
    from earth_embed.diagnosis.results import Settings
    from earth_embed.diagnosis.run import diagnose_run

    options, settings = parse_parts(arguments, "earth-embed diagnose", Diagnose, Settings)
    diagnosis = diagnose_run(options.run, data_dir=options.data_dir, settings=settings)
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
