"""What a diagnosis found: as data, as diagnosis.json and as HTML."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from markupsafe import Markup
from matplotlib.axes import Axes

from earth_embed.diagnosis import Settings
from earth_embed.diagnosis.geometry import Curve
from earth_embed.diagnosis.limits import Conflict
from earth_embed.errors import RunError
from earth_embed.files import write_text
from earth_embed.reports import chart, render
from earth_embed.training.choice import choose
from earth_embed.training.run_dir import package_versions


@dataclass(frozen=True)
class OfModality:
    """One modality's examples and their locations."""

    held_out: int
    """Number of held-out examples, which give the five fields that follow."""
    alignment: float
    """See `geometry.alignment`."""
    uniformity_samples: float
    """See `geometry.uniformity`."""
    uniformity_locations: float
    """Uniformity of what the samples are compared with."""
    to_location: dict[int, float]
    """Retrieval@k, sample → location."""
    to_sample: dict[int, float]
    """Retrieval@k, location → sample."""
    trained_on: int
    """Number of training examples, which give the fields that follow."""
    loss: float
    """Asymmetric NT-Xent within the modality, all examples in one batch."""
    floor: float
    """The oracle's loss."""
    encoder_share: float
    """1 − floor/loss."""


@dataclass(frozen=True)
class Between:
    """Retrieval between two unpaired modalities, which only the location encoder connects."""

    query: str
    """Modality of the queries."""
    candidate: str
    """Modality of the candidates; the correct one is the nearest on the Earth."""
    nearest_km: float
    """Median distance from a query to its correct candidate."""
    found: dict[int, float]
    """Retrieval@k."""
    chance: dict[int, float]
    """Retrieval@k of a random guess."""


@dataclass(frozen=True)
class Locations:
    """The location embeddings at the held-out places of all modalities."""

    places: int
    """Number of places."""
    effective_rank: float
    """See `geometry.effective_rank`."""
    intrinsic_dimension: float
    """See `geometry.intrinsic_dimension`."""
    similarity: Curve
    """See `geometry.similarity_by_distance`."""


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found."""

    run: str
    """Name of the run's directory."""
    step: int
    """Step of the diagnosed checkpoint."""
    settings: Settings
    """How much was looked at."""
    modalities: dict[str, OfModality]
    """By name."""
    between: tuple[Between, ...]
    """Every ordered pair of modalities."""
    locations: Locations
    """All modalities together."""
    gradients: Conflict
    """Per modality, in the location encoder's parameters."""
    versions: dict[str, str] = field(default_factory=package_versions)
    """Versions of the packages that computed it."""

    def save(self, path: Path) -> None:
        """Writes the diagnosis as JSON, whole or not at all."""
        write_text(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")


def load_diagnosis(path: Path) -> Diagnosis:
    """Reads what `Diagnosis.save` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    return _parse(Diagnosis, json.loads(path.read_text(encoding="utf-8")))


def write_report(path: Path, diagnosis: Diagnosis) -> None:
    """Writes the diagnosis as an HTML page, whole or not at all.

    Raises:
        EarthEmbedError: the file cannot be written.
    """
    page = render(
        "diagnosis/report.html",
        run=diagnosis.run,
        section=section(diagnosis),
        versions=diagnosis.versions,
    )
    write_text(path, page)


def read_section(run_dir: Path, which: str, unverified: bool = False) -> Markup | None:
    """The run's diagnosis.json as a section of a page about the checkpoint that `load` chooses.

    Args:
        run_dir: The run's directory.
        which: As in `load`.
        unverified: As in `load`.

    Returns:
        HTML; None if the run has no diagnosis or one of another checkpoint.

    Raises:
        RunError: diagnosis.json cannot be read or is malformed.
    """
    path = run_dir / "diagnosis" / "diagnosis.json"
    try:
        diagnosis = load_diagnosis(path)
        chosen = choose(run_dir / "checkpoints", which, leave_out=["state"], unverified=unverified)
        return section(diagnosis) if diagnosis.step == chosen.step else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, LookupError, TemplateError) as error:
        raise RunError(f"{path} is no diagnosis of a run: {error}") from error


def section(diagnosis: Diagnosis) -> Markup:
    """The diagnosis as a section of a page.

    Raises:
        ValueError: its parts do not fit together.
    """
    names, cosines = diagnosis.gradients.names, diagnosis.gradients.cosines
    if [len(row) for row in cosines] != [len(names)] * len(names) or not names:
        raise ValueError(f"expected cosines between {len(names)} modalities, found {cosines!r:.60}")
    if not diagnosis.modalities:
        raise ValueError("expected modalities, found none")
    curve = diagnosis.locations.similarity

    def draw(axes: Axes, ink: str) -> None:
        axes.plot(curve.km, curve.cosine, "-o", c="#3b82c4", ms=3)
        axes.set(xscale="log", xlabel="distance, km", ylabel="cosine")
        if curve.half_sill_km is not None:
            axes.axvline(curve.half_sill_km, color=ink, ls="--", lw=1)

    return render("diagnosis/section.html", d=diagnosis, similarity=chart(draw))


def _parse(kind: Any, value: Any) -> Any:
    """A value read from JSON, as the type that a field declares."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        if set(value) != set(hints):
            raise ValueError(f"expected the fields {', '.join(hints)}; found {', '.join(value)}")
        return kind(**{name: _parse(hint, value[name]) for name, hint in hints.items()})  # type: ignore[operator]
    if origin is dict and isinstance(value, dict):
        return {inner[0](key): _parse(inner[1], item) for key, item in value.items()}
    if origin in (list, tuple) and isinstance(value, list):
        return origin(_parse(inner[0], item) for item in value)
    if origin is types.UnionType:  # X | None
        return None if value is None else _parse(inner[0], value)
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise ValueError(f"expected {getattr(kind, '__name__', kind)}, found {value!r:.60}")
