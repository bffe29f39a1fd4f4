"""The quickstart beside its variants and all baselines, at several training seeds.

    python experiments/compare.py                 # three seeds: about 40 minutes on two cores

Trains (or resumes) every run, evaluates each seed's runs together and writes
runs/compare/results.md. Finished runs and evaluations are reused.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from paper.tables import INTERVALS, Scores, all_labels, gains, heading
from quickstart_variants import experiments, quickstart

from earth_embed.data import open_sources
from earth_embed.evaluation.results import Results, load_results
from earth_embed.evaluation.run import evaluate_run
from earth_embed.evaluation.settings import Settings
from earth_embed.files import write_text
from earth_embed.training.loop import train

MAIN = quickstart.name
RUNS = (
    quickstart,
    *(experiments[n] for n in ("pair_image", "pair_text", "pair_turbidity", "salt_three")),
)


def main() -> None:
    """Trains, evaluates and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of training seeds")
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    parser.add_argument("--data-dir", type=Path, help="where TFDS keeps its data")
    options = parser.parse_args()
    text = write_tables(
        tuple(
            evaluate_seed(options.out / f"seed{seed}", seed, options.data_dir)
            for seed in range(options.seeds)
        )
    )
    write_text(options.out / "results.md", text)
    print(text)


def evaluate_seed(folder: Path, seed: int, data_dir: Path | None) -> Results:
    """Trains the runs of one seed and evaluates them together."""
    for experiment in RUNS:  # a finished run with these settings returns at once
        seeded = dataclasses.replace(experiment, seed=seed)
        print(f"== {folder / experiment.name}", flush=True)
        train(seeded, folder / experiment.name, open_sources(seeded, data_dir))
    first, *others = (folder / experiment.name for experiment in RUNS)
    results = first / "evaluation" / "results.json"
    if not results.exists():
        evaluate_run(
            first, data_dir=data_dir, settings=Settings(label_counts=()), extra_runs=others
        )
    return load_results(results)


def write_tables(results: tuple[Results, ...]) -> str:
    """Markdown, for each probe: mean scores, then what the quickstart gains on each other row."""
    lines = []
    for probe in results[0].settings.probes:
        scores = Scores(results, probe)
        others = [(MAIN, row.feature) for row in scores.rows if row.feature != MAIN]
        lines += [heading(scores), "", *all_labels(scores), ""]
        lines += [f"**Paired differences at {scores.splits[-1]}**", "", *gains(scores, others), ""]
    return "\n".join([*lines, INTERVALS, ""])


if __name__ == "__main__":
    main()
