"""The summary in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from earth_embed.evaluation.results import MEAN, Results
from earth_embed.evaluation.scores import HEADLINE
from earth_embed.evaluation.settings import CONTINENTS, RANDOM

METRIC_NAMES = {"r2": "R²", "accuracy": "accuracy", "macro_f1": "macro-F1"}


def print_summary(results: Results, console: Console | None = None) -> None:
    """Prints a table for each kind of split, who wins, and where the user's own tasks lie.

    Args:
        results: What to print.
        console: Where to; None for standard output.
    """
    console = console or Console()
    for split in results.settings.splits:
        console.print(_table(results, split))
        console.print(verdict(results, split) + "\n", highlight=False)
    for line in own_tasks(results):
        console.print(line, highlight=False, markup=False)


def title(results: Results, split: str) -> str:
    """What a table of one kind of split shows."""
    settings = results.settings
    labels = f", all labels ({results.scored['labels']})" if results.scored else ", all labels"
    if split == CONTINENTS:
        return f"each continent held out in turn: mean over continents ± 95 % t interval{labels}"
    held = "random" if split == RANDOM else f"{split} held out"
    times = f"{settings.seeds} splits"
    if settings.folds:
        times = f"{settings.seeds} cross-validations of {settings.folds} folds"
    floor = "" if settings.r2_floor is None else f", R² raised to {settings.r2_floor:g}"
    return f"{held}: mean over {times} ± 95 % t interval{labels}{floor}"


def verdict(results: Results, split: str) -> str:
    """One sentence: where label interpolation, the bar, beats the run."""
    wins = results.interpolation_wins(split)
    if not wins:
        return f"{results.name} beats label interpolation on every task and on the mean."
    names = ["the mean over tasks" if task == MEAN else task for task in wins]
    return f"Label interpolation beats {results.name} on {', '.join(names)}."


def own_tasks(results: Results) -> list[str]:
    """For each task of the user's own: where its values come from, how many, how many left out."""
    lines = []
    for task, places in results.places.items():
        if places.source:
            dropped = ", ".join(f"{count} {reason}" for reason, count in places.dropped.items())
            left_out = f"; left out: {dropped}" if dropped else ""
            lines.append(f"{task}: {places.scored} places{left_out} ({places.source})")
    return lines


def column_names(results: Results) -> dict[str, str]:
    """Task → its heading with the score shown, and MEAN."""
    names = {
        task: f"{task}, {METRIC_NAMES[HEADLINE[kind]]}" for task, kind in results.kinds.items()
    }
    return {**names, MEAN: "mean"}


def _table(results: Results, split: str) -> Table:
    # 79 columns wide at four tasks: it fits the narrowest terminal. More leave intervals no room.
    wide = len(results.kinds) > 4
    table = Table(
        title=title(results, split),
        caption="bold: best of its column" + ("; intervals: see the report" if wide else ""),
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("features")
    for heading in column_names(results).values():
        table.add_column(heading.replace("_", "\n").replace(", ", "\n"), justify="right")
    best = results.best(split)
    probe = "idw"  # label interpolation leads and needs no heading
    for row, cells in results.summary(split).items():
        if row.probe != probe:
            probe = row.probe
            table.add_row(f"[dim]{probe} probe[/dim]")
        shown = {task: f"{cell.mean:.3f}" if wide else str(cell) for task, cell in cells.items()}
        values = [
            f"[bold]{text}[/bold]" if best[task] == row else text for task, text in shown.items()
        ]
        table.add_row(row.feature, *values, style="cyan" if row.feature == results.name else "")
    return table
