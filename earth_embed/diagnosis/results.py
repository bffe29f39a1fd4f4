"""What a diagnosis found: as data, as diagnosis.json and as HTML."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import TemplateError
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earth_embed.diagnosis import Settings
from earth_embed.diagnosis.geometry import Curve
from earth_embed.diagnosis.limits import Conflict
from earth_embed.errors import RunError
from earth_embed.files import write_text
from earth_embed.reports import data_uri, render
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
        section=_section(diagnosis),
        versions=diagnosis.versions,
    )
    write_text(path, page)


def read_section(run_dir: Path, which: str) -> Markup | None:
    """The run's diagnosis as a section of another page, rendered from diagnosis.json.

    Args:
        run_dir: Directory of the run.
        which: Checkpoint that the other page is about, "last" or "best".

    Returns:
        HTML; None if the run has no diagnosis or one of another checkpoint.

    Raises:
        RunError: diagnosis.json cannot be read or is malformed.
    """
    path = run_dir / "diagnosis" / "diagnosis.json"
    try:
        diagnosis = load_diagnosis(path)
        # `load` chooses the location encoder the same way: damage to the rest does not matter.
        step = choose(run_dir / "checkpoints", which, leave_out=["state"]).step
        return _section(diagnosis) if diagnosis.step == step else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, LookupError, TemplateError) as error:
        raise RunError(f"{path} is no diagnosis of a run: {error}") from error


def plot(diagnosis: Diagnosis) -> Figure:
    """Three panels: parts of the loss, similarity against distance, cosines of the gradients."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    loss, similarity, gradients = figure.subplots(1, 3)
    _plot_loss(loss, diagnosis)
    _plot_similarity(similarity, diagnosis)
    _plot_gradients(gradients, diagnosis)
    for axes in (loss, similarity):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _section(diagnosis: Diagnosis) -> Markup:
    return render("diagnosis/section.html", d=diagnosis, figure=data_uri(plot(diagnosis)))


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


def _plot_loss(axes: Axes, diagnosis: Diagnosis) -> None:
    names = list(diagnosis.modalities)
    floors = [m.floor for m in diagnosis.modalities.values()]
    rest = [m.loss - m.floor for m in diagnosis.modalities.values()]
    axes.bar(names, floors, color="#b9c4b4", label="oracle's loss")
    axes.bar(names, rest, bottom=floors, color="C0", label="due to the location encoder")
    axes.set(title="training loss of one batch", ylabel="NT-Xent")
    axes.set_ylim(top=1.3 * max(m.loss for m in diagnosis.modalities.values()))  # for the legend
    axes.legend(frameon=False, fontsize=8)


def _plot_similarity(axes: Axes, diagnosis: Diagnosis) -> None:
    curve = diagnosis.locations.similarity
    axes.plot(curve.km, curve.cosine, "-o", ms=3)
    axes.set(xscale="log", xlabel="distance, km", ylabel="cosine", title="location similarity")
    if curve.half_sill_km is not None:
        axes.axvline(curve.half_sill_km, color="0.5", ls="--", lw=1)
        label = f" half-sill {curve.half_sill_km:,.0f} km"
        axes.annotate(label, (curve.half_sill_km, max(curve.cosine)), va="top", fontsize=8)


def _plot_gradients(axes: Axes, diagnosis: Diagnosis) -> None:
    names, cosines = diagnosis.gradients.names, np.asarray(diagnosis.gradients.cosines)
    axes.imshow(cosines, cmap="RdBu", vmin=-1, vmax=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    for (row, column), cosine in np.ndenumerate(cosines):
        colour = "white" if abs(cosine) > 0.6 else "black"
        axes.text(column, row, f"{cosine:+.2f}", ha="center", va="center", color=colour)
    axes.set_title("cosines between modality gradients")
