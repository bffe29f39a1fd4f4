"""All of the paper's experiments, trained and evaluated at several seeds.

    python experiments/paper --data-dir …                  # the paper's settings, on its data
    EARTH_EMBED_DATA=… python experiments/paper --small    # the whole list on small real data

Writes tables and figures to OUT/PROBE. Finished runs and scores are reused, so the same command
resumes an interrupted sweep. Several machines can share the work: each run has a folder of its own,
and `--train-only --seeds 3` trains the runs of one seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from common import EXAMPLES, epoch_steps
from figures import draw_labels, draw_losses, draw_scores
from list import experiments as paper_experiments
from small import RECIPE_SETS, recipe, small
from small_data import FEATURES, prepare, small_tasks
from sweep import Sweep, write_tables

from earth_embed.config import Experiment
from earth_embed.config.files import differences
from earth_embed.data import open_sources
from earth_embed.errors import ConfigError, EarthEmbedError
from earth_embed.evaluation.results import Results, load_results
from earth_embed.evaluation.run import evaluate_run
from earth_embed.evaluation.settings import PROBES, Settings
from earth_embed.files import atomic_output, write_text
from earth_embed.tasks.user_tasks import Task, parse_tasks
from earth_embed.training.loop import train
from earth_embed.training.run_dir import read_experiment

COMPARISONS = (
    ("melt_image_photo", "pair_image"),
    ("melt_image_text", "pair_image"),
    ("melt_image_photo_text", "pair_image"),
    ("melt_photo_text", "pair_text"),
    ("salt_image_text", "pair_image"),
    ("salt_image_photo_text", "pair_image"),
    ("melt_image_photo", "salt_image_photo"),
    ("melt_image_text", "salt_image_text"),
    ("melt_photo_text", "salt_photo_text"),
    ("melt_image_photo_text", "salt_image_photo_text"),
    ("pair_image", "satclip"),
    ("satclip_500", "satclip"),
    ("pair_photo", "geoclip"),
)
OF_RECIPE = (
    ("recipe_image", "pair_image"),
    ("recipe_image_photo_text", "melt_image_photo_text"),
    ("recipe_image_text", "recipe_image"),
    ("recipe_image_photo_text", "recipe_image"),
    ("recipe_image_vegetation", "recipe_image"),
    ("recipe_image_vegetation", "recipe_vegetation"),
    ("recipe_image_photo_text_vegetation", "recipe_image_vegetation"),
    *(("_".join(["recipe", *names]), "_".join(["regression", *names])) for names in RECIPE_SETS),
)


def main() -> None:
    """Trains, evaluates and writes."""
    options = _parse()
    try:
        run_list(options)
    except EarthEmbedError as error:
        sys.exit(f"error: {error}")


def run_list(options: argparse.Namespace) -> None:
    """Trains and scores what is missing, and writes the results."""
    out: Path = options.out
    experiments = list(paper_experiments.values())
    tasks = parse_tasks(options.task)
    comparisons = COMPARISONS
    examples = EXAMPLES
    if options.small:
        tables = out / "data"
        prepare(Path(os.environ.get("EARTH_EMBED_DATA", "")), tables)
        examples = training_examples(tables)
        experiments = [small(experiment, tables, examples) for experiment in experiments]
        for contrast in (True, False):
            experiments += [recipe(names, tables, contrast) for names in RECIPE_SETS]
        tasks += small_tasks(tables)
        comparisons += OF_RECIPE
    if options.only:
        all_names = [each.name for each in experiments]
        experiments = [each for each in experiments if each.name in options.only]
        chosen = {each.name for each in experiments}
        if unknown := sorted(set(options.only) - chosen):
            raise ConfigError(
                f"no experiment {', '.join(unknown)}: expected some of {', '.join(all_names)}"
            )
        comparisons = tuple(pair for pair in comparisons if chosen.issuperset(pair))
    if options.steps:
        experiments = [dataclasses.replace(each, steps=options.steps) for each in experiments]
    for seed in options.seeds:
        for experiment in experiments:
            run = out / f"seed{seed}" / experiment.name
            seeded = dataclasses.replace(experiment, seed=seed)
            if not finished(run, seeded):
                print(f"== {run}", flush=True)
                train(seeded, run, open_sources(seeded, options.data_dir))
    if options.train_only:
        return
    epochs = {
        each.name: epoch_steps(each.modalities, each.batch_size, examples) for each in experiments
    }
    folder = out / options.probe
    folder.mkdir(exist_ok=True)
    results = tuple(
        scored(folder / f"seed{seed}.json", out / f"seed{seed}", tuple(epochs), tasks, options)
        for seed in options.seeds
    )
    done = Sweep(results, options.probe, out, epochs, tuple(options.seeds))
    text = write_tables(done, comparisons)
    write_text(folder / "results.md", text)
    for name, draw in {"scores": draw_scores, "labels": draw_labels, "losses": draw_losses}.items():
        with atomic_output(folder / f"{name}.png") as temporary:
            draw(done).savefig(temporary, dpi=100)
    print(text)


def finished(run: Path, experiment: Experiment) -> bool:
    """Whether a run with these settings has its last checkpoint, so its data need not be opened."""
    whole = (run / "checkpoints" / str(experiment.steps)).is_dir()
    return whole and not differences(read_experiment(run), experiment)


def scored(
    path: Path,
    folder: Path,
    names: tuple[str, ...],
    tasks: tuple[Task, ...],
    options: argparse.Namespace,
) -> Results:
    """The scores of a folder's runs, read from `path` if they are of the same settings."""
    settings = Settings(
        seeds=options.fold_seeds,
        label_counts=tuple(options.label_counts),
        probes=(options.probe,),
        r2_floor=-1.0,
    )
    if path.exists():
        found = load_results(path)
        same = found.settings == settings and found.scored["labels"] == f"test/{options.labels}"
        rows = {row.feature for row in found.rows}.issuperset(names)
        if same and rows and set(found.kinds) == {*settings.tasks, *(task.name for task in tasks)}:
            return found
        print(f"{path} is of other settings, runs or tasks: scored again")
    runs = [folder / name for name in names]
    results = evaluate_run(
        runs[0],
        data_dir=options.data_dir,
        label_config=options.labels,
        settings=settings,
        own_tasks=tasks,
        extra_runs=runs[1:],
    )
    results.save(path)
    return results


def training_examples(tables: Path) -> dict[str, int]:
    """Number of training examples in each small table."""
    everything = recipe(tuple(FEATURES), tables)
    return {name: len(splits.train) for name, splits in open_sources(everything).items()}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python experiments/paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--small", action="store_true", help="small real data from EARTH_EMBED_DATA")
    add("--out", type=Path, help="default: runs/paper, with --small runs/paper_small")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="training seeds")
    add("--fold-seeds", type=int, default=5, help="splits of each kind (default: 5)")
    add("--labels", help="large, 122,000 to train on (default); full, 9,800 (default with --small)")
    add("--label-counts", type=int, nargs="*", default=[243, 1000, 10_000, 100_000])
    add("--probe", choices=PROBES, default="ridge", help="default: ridge")
    add(
        "--task",
        action="extend",
        nargs="+",
        default=[],
        help="further tasks, as in earth-embed evaluate --task",
    )
    add("--data-dir", type=Path, help="where TFDS keeps its data")
    add("--only", nargs="+", metavar="NAME", help="only these experiments")
    add("--steps", type=int, help="steps of every run, for a quick look")
    add("--train-only", action="store_true", help="train, do not score")
    options = parser.parse_args()
    options.out = options.out or Path("runs/paper_small" if options.small else "runs/paper")
    options.labels = options.labels or ("full" if options.small else "large")
    return options


if __name__ == "__main__":
    main()
