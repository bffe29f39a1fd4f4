"""The evaluation as one HTML file that needs nothing else: no network, no script, images inside."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from earth_embed.data.labels import Labels
from earth_embed.evaluation.figures import label_curves, task_maps, to_png
from earth_embed.evaluation.results import Results, Row
from earth_embed.evaluation.scores import Interval, mean_interval
from earth_embed.evaluation.tables import column_names, own_tasks, title, verdict
from earth_embed.files import write_text


def write_report(
    path: Path,
    results: Results,
    labels: Sequence[Labels],
    predictions: Mapping[str, np.ndarray],
    diagnosis: str | None = None,
) -> None:
    """Writes the report, whole or not at all.

    Args:
        path: The HTML file.
        results: Scores.
        labels: The places and targets that were scored; N places have a task.
        predictions: Task → (N,) predictions of the run, made without labels nearby.
        diagnosis: HTML section on what limits the run, to show as it is.

    Raises:
        EarthEmbedError: the file cannot be written.
    """
    package = importlib.resources.files("earth_embed")
    source, style = package / "evaluation" / "report.html", package / "report.css"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    columns = column_names(results)
    html = template.render(
        style=style.read_text(encoding="utf-8"),
        results=results,
        own_tasks=own_tasks(results),
        columns=columns,
        sections=[
            {
                "title": title(results, split),
                "verdict": verdict(results, split),
                "summary": results.summary(split),
                "best": results.best(split),
                "gains": results.gains(split),
            }
            for split in results.settings.splits
        ],
        macro_f1=_macro_f1(results),
        diagnosis=diagnosis,
        curves=to_png(label_curves(results)),
        maps={
            task: to_png(task_maps(part.lonlat, target, predictions[task]))
            for part in labels
            for task, target in part.targets.items()
        },
    )
    write_text(path, html)


def _macro_f1(results: Results) -> dict[Row, dict[tuple[str, str], Interval]]:
    """Macro-F1 of the classification tasks on each kind of split; empty without such tasks."""
    tasks = [task for task, kind in results.kinds.items() if kind == "classification"]
    if not tasks:
        return {}
    return {
        row: {
            (task, split): mean_interval(results.scores(row, split, task, metric="macro_f1"))
            for task in tasks
            for split in results.settings.splits
        }
        for row in results.rows
    }
