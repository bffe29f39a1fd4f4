"""`earth-embed diagnose`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from earth_embed.cli.parsing import TOP_LEVEL, parse


@dataclass(frozen=True)
class Diagnose:
    """Says what limits a run; writes diagnosis.json and report.html into RUN/diagnosis."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of the run."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""


def diagnose(arguments: list[str]) -> None:
    """Says what limits a run."""
    from earth_embed.diagnosis import Settings, diagnose_run

    parser = dataclasses.make_dataclass(
        "Diagnosis",
        [
            ("command", Annotated[Diagnose, TOP_LEVEL]),
            ("settings", Annotated[Settings, TOP_LEVEL], field(default_factory=Settings)),
        ],
        frozen=True,
    )
    parsed: Any = parse(parser, arguments, "earth-embed diagnose")
    run, data_dir = parsed.command.run, parsed.command.data_dir
    diagnosis = diagnose_run(run, data_dir=data_dir, settings=parsed.settings)
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
    print(f"wrote {run / 'diagnosis' / 'report.html'}")
