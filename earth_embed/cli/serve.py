"""`earth-embed embed` and `earth-embed map`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from earth_embed.cli.parsing import OutputFile, RunArgument, Which, optional, parse
from earth_embed.progress import phase

if TYPE_CHECKING:
    from earth_embed.pretrained.encoder import LocationEncoder


@dataclass(frozen=True)
class Embed:
    """Add the embedding of each row's place to a table."""

    run: RunArgument
    """Directory of the run."""
    table: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TABLE")]
    """CSV or TSV, JSON lines, Parquet, GeoParquet, GeoPackage, FlatGeobuf or GeoJSON, with columns
    lon and lat in degrees or a point geometry."""
    output: OutputFile
    """CSV or Parquet file to write."""
    missing: Literal["error", "skip", "keep"] = "error"
    """Rows without a coordinate: refuse the table, leave them out, or keep them without an
    embedding."""
    crs: Annotated[str | None, optional("none", "CRS")] = None
    """Read columns x and y in this CRS, such as EPSG:2056, instead of lon and lat."""
    which: Which = "last"
    """Checkpoint: the last, or the best by validation retrieval@1."""
    smoothing_km: float = 0.0
    """Smooth the encoder's spherical harmonics with a heat kernel of this standard deviation."""
    unverified: bool = False
    """Use the newest checkpoint that can be read, even if its checksums do not match."""


@dataclass(frozen=True)
class Map:
    """Draw a world map of the embeddings, with three principal components as red, green, blue."""

    run: RunArgument
    """Directory of the run."""
    output: OutputFile
    """PNG or GeoTIFF file to write."""
    resolution: float = 0.5
    """Degrees per pixel."""
    coastlines: bool = True
    """Draw coastlines (PNG only)."""
    land_only: bool = False
    """Leave the ocean blank."""
    which: Which = "last"
    """Checkpoint: the last, or the best by validation retrieval@1."""
    smoothing_km: float = 0.0
    """Smooth the encoder's spherical harmonics with a heat kernel of this standard deviation."""
    unverified: bool = False
    """Use the newest checkpoint that can be read, even if its checksums do not match."""


def embed(arguments: list[str]) -> None:
    """Adds embeddings to a table of places."""
    options: Embed = parse(Embed, arguments, "earth-embed embed")
    with phase("importing JAX"):
        from earth_embed.serving.embed import embed_table

    rows = embed_table(
        _encoder(options),
        options.table,
        options.output,
        missing=options.missing,
        crs=options.crs,
    )
    print(f"wrote {rows} rows to {options.output}")


def draw_map(arguments: list[str]) -> None:
    """Draws a world map of the embeddings."""
    options: Map = parse(Map, arguments, "earth-embed map")
    with phase("importing JAX"):
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
    """The run's encoder, smoothed on request."""
    from earth_embed.pretrained.encoder import load

    encoder = load(options.run, options.which, options.unverified)
    return encoder.smoothed(options.smoothing_km) if options.smoothing_km else encoder
