"""The diagnosis as one HTML file that needs nothing else: no network, no script, images inside."""

from __future__ import annotations

import base64
import importlib.resources
import io
import re
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earth_embed.diagnosis.results import Diagnosis
from earth_embed.errors import RunError
from earth_embed.files import write_text
from earth_embed.training.choice import choose


def write_report(path: Path, diagnosis: Diagnosis) -> None:
    """Writes the report, whole or not at all.

    Raises:
        EarthEmbedError: the file cannot be written.
    """
    package = importlib.resources.files("earth_embed")
    source, style = package / "diagnosis" / "report.html", package / "report.css"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    buffer = io.BytesIO()
    plot(diagnosis).savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    figure = base64.b64encode(buffer.getvalue()).decode("ascii")
    write_text(
        path, template.render(d=diagnosis, figure=figure, style=style.read_text(encoding="utf-8"))
    )


def read_section(run_dir: Path, which: str) -> str | None:
    """The section of a run's report on what limits it, to show on another page.

    Args:
        run_dir: Directory of the run.
        which: The checkpoint that the other page is about, "last" or "best".

    Returns:
        HTML; None without a report, or if it is of another checkpoint.

    Raises:
        RunError: the report cannot be read.
    """
    path = run_dir / "diagnosis" / "report.html"
    try:
        html = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    # As the location encoder is chosen, to which damage to the rest of the state does not matter.
    step = choose(run_dir / "checkpoints", which, leave_out=["state"]).step
    section = re.search(rf'<section data-step="{step}">.*?</section>', html, re.DOTALL)
    return section and section[0]


def plot(diagnosis: Diagnosis) -> Figure:
    """What the loss is made of, similarity against distance, and the gradients' cosines."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    loss, similarity, gradients = figure.subplots(1, 3)
    _loss(loss, diagnosis)
    _similarity(similarity, diagnosis)
    _gradients(gradients, diagnosis)
    for axes in (loss, similarity):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _loss(axes: Axes, diagnosis: Diagnosis) -> None:
    names = list(diagnosis.modalities)
    floors = [m.floor for m in diagnosis.modalities.values()]
    rest = [m.loss - m.floor for m in diagnosis.modalities.values()]
    axes.bar(names, floors, color="#b9c4b4", label="left by the oracle")
    axes.bar(names, rest, bottom=floors, color="C0", label="due to the location encoder")
    axes.set(title="training loss of one batch", ylabel="NT-Xent")
    axes.set_ylim(top=1.3 * max(m.loss for m in diagnosis.modalities.values()))  # for the legend
    axes.legend(frameon=False, fontsize=8)


def _similarity(axes: Axes, diagnosis: Diagnosis) -> None:
    curve = diagnosis.locations.similarity
    axes.plot(curve.km, curve.cosine, "-o", ms=3)
    axes.set(xscale="log", xlabel="distance, km", ylabel="cosine", title="locations' similarity")
    if curve.half_sill_km is not None:
        axes.axvline(curve.half_sill_km, color="0.5", ls="--", lw=1)
        label = f" half-sill {curve.half_sill_km:,.0f} km"
        axes.annotate(label, (curve.half_sill_km, max(curve.cosine)), va="top", fontsize=8)


def _gradients(axes: Axes, diagnosis: Diagnosis) -> None:
    names, cosines = diagnosis.gradients.names, np.asarray(diagnosis.gradients.cosines)
    axes.imshow(cosines, cmap="RdBu", vmin=-1, vmax=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    for (row, column), cosine in np.ndenumerate(cosines):
        colour = "white" if abs(cosine) > 0.6 else "black"
        axes.text(column, row, f"{cosine:+.2f}", ha="center", va="center", color=colour)
    axes.set_title("cosines of the modalities' gradients")
