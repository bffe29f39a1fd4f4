"""The summary in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from earth_embed.evaluation.results import MEAN, Results
from earth_embed.evaluation.scores import HEADLINE
from earth_embed.evaluation.splits import SPLIT_KINDS, SplitKind

METRIC_NAMES = {"r2": "R²", "accuracy": "accuracy", "macro_f1": "macro-F1"}


def print_summary(results: Results, console: Console | None = None) -> None:
    """Prints one table for random splits and one for held-out blocks, and who wins.

    Args:
        results: What to print.
        console: Where to; None for standard output.
    """
    console = console or Console()
    for split in SPLIT_KINDS:
        console.print(_table(results, split))
        console.print(verdict(results, split) + "\n", highlight=False)


def title(results: Results, split: SplitKind) -> str:
    """What a table of one kind of split shows."""
    settings = results.settings
    held = "random splits" if split == "random" else f"{settings.block_degrees:g}° blocks held out"
    labels = f" ({results.scored['labels']})" if results.scored else ""
    return f"{held}: mean over {settings.seeds} splits ± 95 % t interval, all labels{labels}"


def verdict(results: Results, split: SplitKind) -> str:
    """One sentence: where label interpolation, the bar, beats the run."""
    wins = results.interpolation_wins(split)
    if not wins:
        return f"{results.name} beats label interpolation on every task and on the mean."
    names = ["the mean over tasks" if task == MEAN else task for task in wins]
    return f"Label interpolation beats {results.name} on {', '.join(names)}."


def column_names(results: Results) -> dict[str, str]:
    """Task → its heading with the score shown, and MEAN."""
    names = {
        task: f"{task}, {METRIC_NAMES[HEADLINE[kind]]}" for task, kind in results.kinds.items()
    }
    return {**names, MEAN: "mean"}


def _table(results: Results, split: SplitKind) -> Table:
    # 79 columns wide at four tasks: it fits the narrowest terminal.
    table = Table(
        title=title(results, split),
        caption="bold: best of its column",
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
        values = [
            f"[bold]{cell}[/bold]" if best[task] == row else str(cell)
            for task, cell in cells.items()
        ]
        table.add_row(row.feature, *values, style="cyan" if row.feature == results.name else "")
    return table
