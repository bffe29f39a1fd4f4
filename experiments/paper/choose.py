"""The grid search behind the recipe's settings, scored on labels that no result uses.

    EARTH_EMBED_DATA=… python experiments/paper/choose.py

Trains on images alone, and on images with vegetation, with each combination of settings. Scores
ridge probes at held-out 10° blocks of the validation labels, which share no block with the test
labels. Prints the mean over tasks and five splits. Finished runs are reused.

The grid varies the learning rate, the temperature and the whitening of the features. The trunk, its
wavelengths, the weight of text and the 400 steps are from an earlier prototype.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from small import recipe
from small_data import prepare, small_tasks

from earth_embed.config import Experiment, LogitScale, Optimizer
from earth_embed.data import open_sources
from earth_embed.errors import EarthEmbedError
from earth_embed.evaluation.results import MEAN
from earth_embed.evaluation.run import evaluate_run
from earth_embed.evaluation.settings import Settings
from earth_embed.training.loop import train

Vary: TypeAlias = Callable[[tuple[str, ...], Path], Experiment]
"""Makes an experiment from names of modalities and the folder of their tables."""

SETS = (("image",), ("image", "vegetation"))
WHITENINGS = (0.0, 0.5, 1.0)
LEARNING_RATES = (3e-4, 1e-3)
TEMPERATURES = (0.2, 0.5)


def main() -> None:
    """Trains, scores and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/choose"))
    parser.add_argument("--data-dir", type=Path, help="where TFDS keeps its data")
    options = parser.parse_args()
    chosen: dict[str, list[float]] = {}
    for whitening in WHITENINGS:
        tables = options.out / f"data{whitening}"
        prepare(Path(os.environ.get("EARTH_EMBED_DATA", "")), tables, whitening)
        runs = {
            f"{label}, {whitening:g}": [
                _trained(vary(names, tables), options.out / f"{whitening}", label, options.data_dir)
                for names in SETS
            ]
            for label, vary in variants().items()
        }
        first, *others = itertools.chain.from_iterable(runs.values())
        results = evaluate_run(
            first,
            split="validation",
            data_dir=options.data_dir,
            settings=Settings(label_counts=(), probes=("ridge",), r2_floor=-1.0),
            own_tasks=small_tasks(tables),
            extra_runs=others,
        )
        blocks = results.settings.splits[-1]
        of = {row.feature: results.scores(row, blocks, MEAN).mean() for row in results.rows}
        chosen |= {name: [of[run.name] for run in found] for name, found in runs.items()}
    print(
        "| loss, learning rate, temperature, whitening |",
        " | ".join("+".join(s) for s in SETS),
        "|",
    )
    print("|---" * (1 + len(SETS)) + "|")
    for name, scores in chosen.items():
        print(f"| {name} |", " | ".join(f"{score:.3f}" for score in scores), "|")


def variants() -> dict[str, Vary]:
    """The recipe with other settings."""
    found = {}
    for rate in LEARNING_RATES:
        for temperature in TEMPERATURES:
            found[f"contrast, {rate:g}, {temperature:g}"] = _variant(True, rate, temperature)
        found[f"regression, {rate:g}, none"] = _variant(False, rate, 0.5)
    return found


def _variant(contrast: bool, rate: float, temperature: float) -> Vary:
    def vary(names: tuple[str, ...], tables: Path) -> Experiment:
        return dataclasses.replace(
            recipe(names, tables, contrast),
            optimizer=Optimizer(learning_rate=rate),
            logit_scale=LogitScale(temperature, min_temperature=0.2),
        )

    return vary


def _trained(experiment: Experiment, folder: Path, label: str, data_dir: Path | None) -> Path:
    run = folder / f"{label}, {experiment.name}".replace(", ", "-")
    train(experiment, run, open_sources(experiment, data_dir))
    return run


if __name__ == "__main__":
    try:
        main()
    except EarthEmbedError as error:
        sys.exit(f"error: {error}")
