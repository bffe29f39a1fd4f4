"""`earth-embed import`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from earth_embed.cli.parsing import parse


@dataclass(frozen=True)
class Import:
    """Turns published weights of a location encoder into a run."""

    published: Annotated[Literal["satclip", "geoclip"], tyro.conf.Positional]
    """Whose weights they are."""
    file: Annotated[Path | None, tyro.conf.Positional] = None
    """A safetensors or torch file (default for geoclip: the one in the installed package)."""
    run_dir: Path | None = None
    """Directory of the run (default: runs/satclip-lL for L degrees, or runs/geoclip)."""


def import_run(arguments: list[str]) -> None:
    """Turns published weights into a run."""
    options: Import = parse(Import, arguments, "earth-embed import")
    from earth_embed.importing import import_weights

    published, run_dir = import_weights(options.published, options.file, options.run_dir)
    print(f"imported {published.summary}: {published.parameters:,} parameters")
    print(f"wrote {run_dir}; next: earth-embed evaluate {run_dir}")
