"""The paper's experiments: their settings, each of them trained for a moment, and the sweep."""

import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from earth_embed.config import Melt, Pair, Salt
from earth_embed.config.files import load_experiment
from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.data.open import open_sources
from earth_embed.evaluation.results import INTERPOLATION, MEAN, Record, Results, Row
from earth_embed.evaluation.settings import Settings
from earth_embed.training.loop import train
from earth_embed.training.records import read_metrics
from tests.experiments.conftest import PAPER

FILES = sorted(
    path.stem
    for path in PAPER.glob("*.py")
    if re.search(r"^experiment = ", path.read_text(), re.MULTILINE)
)
METHODS = {"pair": Pair, "melt": Melt, "salt": Salt, "satclip": Pair, "geoclip": Pair}


def moment(experiment):
    """Two steps of a small batch."""
    checkpoints = dataclasses.replace(experiment.checkpoints, save_every=2, validate_every=2)
    return dataclasses.replace(experiment, batch_size=48, steps=2, checkpoints=checkpoints)


def losses(run):
    return [line["loss"] for line in read_metrics(run) if "loss" in line]


def test_the_list_is_every_file(paper):
    assert sorted(paper.main.PAPER) == FILES
    for pair in (*paper.main.COMPARISONS, *paper.main.OF_RECIPE):
        for name in pair:
            kind, *modalities = name.split("_")
            assert name in FILES or (
                kind in ("recipe", "regression") and tuple(modalities) in paper.small.RECIPE_SETS
            )


@pytest.mark.parametrize("name", FILES)
def test_settings_are_the_papers(name, paper):
    experiment = load_experiment(PAPER / f"{name}.py")
    names = [modality.name for modality in experiment.modalities]
    kind, *rest = name.split("_")
    assert experiment.name == name
    assert isinstance(experiment.method, METHODS[kind])
    if kind in ("pair", "melt", "salt"):
        assert names == rest
    assert experiment.method.direction == (
        "symmetric" if kind == "satclip" else "sample_to_location"
    )
    assert (experiment.batch_size, experiment.optimizer.learning_rate) == (2048, 1e-4)
    epochs = experiment.steps * 2048 / sum(paper.common.EXAMPLES[name] for name in names)
    assert epochs == pytest.approx(500 if name == "satclip_500" else 50, rel=0.03)
    assert {(m.encoder, m.depth, m.is_features) for m in experiment.modalities} == {
        ("projection", 1, True)  # frozen features, one trained layer
    }


@pytest.mark.parametrize("name", FILES)
def test_every_experiment_trains(name, paper, tables, tmp_path):
    examples = dict.fromkeys(paper.small_data.FEATURES, 700)
    full = load_experiment(PAPER / f"{name}.py")
    experiment = paper.small.small(full, tables, examples)
    assert experiment.steps == max(
        500,
        round(
            full.steps
            / 5
            * 700
            / 512
            * len(full.modalities)
            / paper.common.epoch_steps(full.modalities)
        ),
    )
    assert (experiment.location, experiment.method) == (full.location, full.method)
    experiment = moment(experiment)
    train(experiment, tmp_path / "run", open_sources(experiment))
    assert np.isfinite(losses(tmp_path / "run")).all()


@pytest.mark.parametrize("contrast", [True, False])
def test_the_recipe_trains(contrast, paper, tables, tmp_path):
    experiment = paper.small.recipe(("image", "text"), tables, contrast)
    assert experiment.method.weights == (1.0, 0.2)
    train(moment(experiment), tmp_path / "run", open_sources(experiment))
    assert np.isfinite(losses(tmp_path / "run")).all()
    if not contrast:  # unexplained variance of standardised targets, before any learning
        assert 0.5 < losses(tmp_path / "run")[0] < 5


def test_the_sweep_ends_in_tables_and_figures_and_goes_on(tables, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "data").symlink_to(tables)
    command = [
        sys.executable,
        PAPER,
        "--small",
        "--out",
        out,
        "--only",
        "pair_text",
        "recipe_image",
    ]
    command += ["--steps", "2", "--seeds", "0", "--fold-seeds", "2"]
    command += ["--labels", "tiny", "--label-counts", "100", "--data-dir", tmp_path / "tfds"]
    environment = os.environ | {"EARTH_EMBED_DATA": str(tables)}

    def sweep():
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    folder = out / "ridge"
    done = sweep()
    assert done.returncode == 0, done.stderr
    text = (folder / "results.md").read_text()
    assert text in done.stdout
    for name in ("pair_text", "recipe_image", INTERPOLATION, "harmonics L=10"):
        assert len(re.findall(rf"^\| {re.escape(name)} \|", text, re.MULTILINE)) >= 2
    assert all((folder / f"{name}.png").stat().st_size > 10_000 for name in ("scores", "labels"))
    assert (folder / "losses.png").exists()
    made = (folder / "seed0.json").stat().st_mtime_ns
    (folder / "results.md").unlink()
    assert sweep().returncode == 0
    assert (folder / "results.md").read_text() == text
    assert (folder / "seed0.json").stat().st_mtime_ns == made
    command[command.index("recipe_image")] = "nonsense"
    failed = sweep()
    assert "error: no experiment nonsense" in failed.stderr
    assert failed.returncode == 1


def synthetic(paper, tmp_path, better):
    """Two training seeds and three fold seeds of two runs; the second is `better` by so much."""
    settings = Settings(tasks=("height",), seeds=3, label_counts=(), probes=("ridge",))
    results = []
    for seed in (0, 1):
        records = [
            Record(
                task,
                feature,
                probe,
                split,
                fold,
                0,
                None,
                100,
                25,
                {"r2": 0.5 + 0.1 * fold + 0.01 * seed + (better if feature == "b" else 0)},
            )
            for task in ("height", "depth")
            for feature, probe in (("a", "ridge"), ("b", "ridge"), (INTERPOLATION, "idw"))
            for split in settings.splits
            for fold in range(3)
        ]
        kinds = {"height": "regression", "depth": "regression"}
        results.append(Results("a", settings, kinds, tuple(records), {}))
        for name in ("a", "b"):
            run = tmp_path / f"seed{seed}" / name
            run.mkdir(parents=True)
            lines = [(1, 5.0), (2, 3.0), (3, 3.5 + seed), (4, 2.0)]
            text = "".join(
                f'{{"step": {s}, "loss": {v}, "validation_loss/image": {v}}}\n' for s, v in lines
            )
            (run / "metrics.jsonl").write_text(text)
    return paper.results.Sweep(tmp_path, ("a", "b"), (0, 1), tuple(results))


def test_differences_are_paired_by_split_and_peaks_are_rises(paper, tmp_path):
    sweep = synthetic(paper, tmp_path, better=0.25)
    text = paper.results.write_results(tmp_path, sweep, [("b", "a")])
    # The folds differ by 0.1, the pairs by nothing: the interval of the difference is 0.
    assert "| b − a | +0.250 ± 0.000 (6/6) | +0.250 ± 0.000 (6/6) | +0.250 ± 0.000 (6/6) |" in text
    # Mean over training seeds of the largest rise above an earlier minimum: (0.5 + 1.5) / 2.
    assert "| a | 2.00 | image 1.00 | image 2.00 / 2.00 | 0.0071 |" in text
    assert sweep.scores(Row("a", "ridge"), "random", MEAN).shape == (2, 3)


def test_rise(paper):
    rise = paper.results.rise
    assert rise(np.array([3.0, 2.0, 1.0])) == 0
    assert rise(np.array([1.0, 4.0, 2.0, 3.0])) == 3
    assert rise(np.array([5.0, 1.0, 2.0, 0.0, 0.5])) == 1


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_principal_components_are_uncorrelated_and_of_the_asked_scale(whitening, paper, rng):
    values = rng.normal(size=(500, 6)) @ np.diag([9, 5, 3, 2, 1, 0.5]) @ rng.normal(size=(6, 6))
    found = paper.small_data.principal_components(values, 4, whitening).astype(np.float64)
    covariance = np.cov(found.T, bias=True)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-4)
    assert found.std() == pytest.approx(1, rel=1e-5)
    variances = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)[:4] ** 2
    expected = variances ** (1 - whitening)
    np.testing.assert_allclose(np.diag(covariance), expected / expected.mean(), rtol=1e-3)


def test_around_is_so_many_kilometres_away(paper, rng):
    lonlat = np.stack([rng.uniform(-180, 180, 50), rng.uniform(-60, 60, 50)], axis=1)
    for east, north in ((100, 0), (0, -80), (60, 60)):
        moved = paper.small_data._around(lonlat, east, north)
        assert (np.abs(moved) <= [180, 90]).all()
        chord = np.linalg.norm(unit_vector(moved) - unit_vector(lonlat), axis=1)
        distance = 2 * EARTH_RADIUS_KM * np.arcsin(chord / 2)
        np.testing.assert_allclose(distance, np.hypot(east, north), rtol=0.03)
