"""The README's results: pair, MELT and SALT beside all baselines, at three seeds.

    python experiments/compare.py                        # about 40 minutes on two cores

Trains (or resumes) every run, evaluates each seed's runs in one table, and writes
runs/compare/results.md. What is there already is not computed again.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from earth_embed.config.files import load_experiment
from earth_embed.data.open import open_sources
from earth_embed.evaluation.results import INTERPOLATION, MEAN, Results, Row, load_results
from earth_embed.evaluation.run import evaluate_run
from earth_embed.evaluation.scores import paired_difference
from earth_embed.evaluation.settings import Settings
from earth_embed.files import write_text
from earth_embed.training.loop import train

HERE = Path(__file__).parent
MAIN = "melt_three"
OTHERS = ("pair_image", "pair_text", "pair_turbidity", "salt_three")
SPLITS = ("random", "10° blocks")


def main() -> None:
    """Trains, evaluates and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="training seeds 0, 1, …")
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    parser.add_argument("--data-dir", type=Path, default=None)
    options = parser.parse_args()
    seeds = [
        evaluate_seed(options.out / f"seed{seed}", seed, options.data_dir)
        for seed in range(options.seeds)
    ]
    text = tables(seeds)
    write_text(options.out / "results.md", text)
    print(text)


def evaluate_seed(folder: Path, seed: int, data_dir: Path | None) -> Results:
    """Trains the runs of one seed and scores them in one table."""
    for name in (MAIN, *OTHERS):  # a finished run with these settings returns at once
        experiment = dataclasses.replace(load_experiment(HERE / f"{name}.py"), seed=seed)
        print(f"== {folder / name}")
        train(experiment, folder / name, open_sources(experiment, data_dir))
    results = folder / MAIN / "evaluation" / "results.json"
    if not results.exists():
        others = [folder / name for name in OTHERS]
        all_labels = Settings(label_counts=())
        evaluate_run(folder / MAIN, data_dir=data_dir, settings=all_labels, extra_runs=others)
    return load_results(results)


def tables(seeds: list[Results]) -> str:
    """Markdown: mean scores, then what MELT gains, with t intervals over the splits."""
    first = seeds[0]
    columns = (*first.kinds, MEAN)
    names = [column.replace("_", " ") for column in columns]
    lines = []
    for probe in first.settings.probes:
        lines += [f"\n{probe} probe, all labels: random splits / held-out 10° blocks\n"]
        lines += [f"| features | {' | '.join(names)} |", "|---" * (len(columns) + 1) + "|"]
        for row in first.rows:
            if row.probe != probe and row.feature != INTERPOLATION:
                continue
            cells = [
                " / ".join(f"{scores(seeds, row, s, c).mean():.3f}" for s in SPLITS)
                for c in columns
            ]
            lines.append(f"| {row.feature} | {' | '.join(cells)} |")
        lines += ["\nMELT minus each at 10° blocks, paired by split (mean and 95 % interval)\n"]
        lines += [f"| minus | {' | '.join(names)} |", "|---" * (len(columns) + 1) + "|"]
        melt = Row(MAIN, probe)
        for row in first.rows:
            if row == melt or (row.probe != probe and row.feature != INTERPOLATION):
                continue
            gains = [
                paired_difference(
                    scores(seeds, melt, SPLITS[1], c), scores(seeds, row, SPLITS[1], c)
                )
                for c in columns
            ]
            cells = [f"{gain.mean:+.3f} ± {gain.half_width:.3f}" for gain in gains]
            lines.append(f"| {row.feature} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def scores(seeds: list[Results], row: Row, split: str, task: str) -> np.ndarray:
    """A row's score on each split, the mean over training seeds.

    All training seeds share the splits, so only the splits count as independent.
    """
    return np.mean([results.scores(row, split, task) for results in seeds], axis=0)


if __name__ == "__main__":
    main()
