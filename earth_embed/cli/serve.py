"""`earth-embed embed` and `earth-embed map`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from earth_embed.cli.parsing import parse

if TYPE_CHECKING:
    from earth_embed.pretrained.encoder import LocationEncoder


@dataclass(frozen=True)
class Embed:
    """Writes the rows of a table together with the embeddings of their places."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of the run."""
    table: Annotated[Path, tyro.conf.Positional]
    """CSV, Parquet or GeoParquet with columns lon and lat in degrees, or a point geometry."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """CSV or Parquet to write."""
    which: Literal["last", "best"] = "last"
    """Checkpoint: the last, or the best by validation retrieval@1."""
    smoothing_km: float = 0.0
    """Smooth the encoder's spherical harmonics by a heat kernel of this standard deviation."""


@dataclass(frozen=True)
class Map:
    """Draws the embeddings of the whole Earth: three principal components as red, green, blue."""

    run: Annotated[Path, tyro.conf.Positional]
    """Directory of the run."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """PNG or GeoTIFF to write."""
    resolution: float = 0.5
    """Degrees per pixel."""
    coastlines: bool = True
    """Draw coastlines (PNG only)."""
    land_only: bool = False
    """Leave the ocean blank."""
    which: Literal["last", "best"] = "last"
    """Checkpoint: the last, or the best by validation retrieval@1."""
    smoothing_km: float = 0.0
    """Smooth the encoder's spherical harmonics by a heat kernel of this standard deviation."""


def embed(arguments: list[str]) -> None:
    """Adds embeddings to a table of places."""
    options: Embed = parse(Embed, arguments, "earth-embed embed")
    from earth_embed.serving.embed import embed_table

    rows = embed_table(_encoder(options), options.table, options.output)
    print(f"wrote {rows} rows to {options.output}")


def draw_map(arguments: list[str]) -> None:
    """Draws the embeddings of the whole Earth."""
    options: Map = parse(Map, arguments, "earth-embed map")
    from earth_embed.serving.map import embedding_map

    embedding_map(
        _encoder(options),
        options.output,
        resolution=options.resolution,
        coastlines=options.coastlines,
        land_only=options.land_only,
    )
    print(f"wrote {options.output}")


def _encoder(options: Embed | Map) -> LocationEncoder:
    """The run's encoder, smoothed if so asked."""
    from earth_embed.pretrained.encoder import load

    encoder = load(options.run, options.which)
    return encoder.smoothed(options.smoothing_km) if options.smoothing_km else encoder
