"""`earth-embed diagnose`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from earth_embed.cli.parsing import parse_parts


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
