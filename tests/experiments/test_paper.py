"""The paper's experiments: their settings, each of them trained for a moment, and the sweep."""

import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from earth_embed.config import LocationConfig, Melt, Pair, Salt, Siren, SphericalHarmonics
from earth_embed.config.files import load_experiment
from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.data import open_sources
from earth_embed.encoders import published
from earth_embed.errors import DataError
from earth_embed.evaluation.results import INTERPOLATION, MEAN, Record, Results, Row
from earth_embed.evaluation.settings import Settings
from earth_embed.training.loop import train
from earth_embed.training.records import read_metrics
from tests.experiments.conftest import PAPER

SETS = ("image_photo", "image_text", "photo_text", "image_photo_text")
NAMES = (
    *("satclip", "satclip_500", "geoclip", "pair_image", "pair_photo", "pair_text"),
    *(f"{method}_{names}" for method in ("melt", "salt") for names in SETS),
)
METHODS = {"pair": Pair, "melt": Melt, "salt": Salt, "satclip": Pair, "geoclip": Pair}


def moment(experiment):
    """Two steps of a small batch."""
    checkpoints = dataclasses.replace(experiment.checkpoints, save_every=2, validate_every=2)
    return dataclasses.replace(experiment, batch_size=48, steps=2, checkpoints=checkpoints)


def losses(run):
    return [line["loss"] for line in read_metrics(run) if "loss" in line]


def test_the_list_holds_what_is_compared(paper):
    assert tuple(paper.list.experiments) == NAMES
    for pair in (*paper.main.COMPARISONS, *paper.main.OF_RECIPE):
        for name in pair:
            kind, *modalities = name.split("_")
            assert name in NAMES or (
                kind in ("recipe", "regression") and tuple(modalities) in paper.small.RECIPE_SETS
            )


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_the_papers(name, paper):
    experiment = load_experiment(f"{PAPER}/list.py:{name}")
    names = [modality.name for modality in experiment.modalities]
    kind, *rest = name.split("_")
    assert experiment.name == name
    assert isinstance(experiment.method, METHODS[kind])
    if kind in ("pair", "melt", "salt"):
        assert names == rest
    assert experiment.method.direction == (
        "symmetric" if kind == "satclip" else "sample_to_location"
    )
    own = {"satclip": published.satclip(10), "geoclip": published.geoclip()}
    siren = LocationConfig(SphericalHarmonics(10), Siren((512, 512)), features=256)
    assert experiment.location == own.get(kind, siren)
    assert (experiment.batch_size, experiment.optimizer.learning_rate) == (2048, 1e-4)
    epochs = experiment.steps * 2048 / sum(paper.common.EXAMPLES[name] for name in names)
    assert epochs == pytest.approx(500 if name == "satclip_500" else 50, rel=0.03)
    assert {(m.encoder, m.depth, m.is_features) for m in experiment.modalities} == {
        ("projection", 1, True)  # frozen features, one trained layer
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_trains(name, paper, tables, tmp_path):
    full = load_experiment(f"{PAPER}/list.py:{name}")
    experiment = paper.small.small(full, tables, dict.fromkeys(paper.small_data.FEATURES, 27_000))
    epoch = 27_000 * len(full.modalities) / 512
    expected = 100 if name == "satclip_500" else 10
    assert experiment.steps / epoch == pytest.approx(expected, rel=0.01)
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


def test_few_examples_get_the_fewest_steps(paper, tables):
    full = paper.list.experiments["pair_photo"]
    assert paper.small.small(full, tables, {"photo": 2700}).steps == 500


@pytest.fixture(scope="module")
def sweep(tables, tmp_path_factory):
    """`python experiments/paper` with few steps, into one folder; more options may follow."""
    out = tmp_path_factory.mktemp("sweep")
    (out / "data").symlink_to(tables)
    command = [sys.executable, PAPER, "--small", "--out", out, "--steps", "2", "--seeds", "0"]
    command += ["--fold-seeds", "2", "--labels", "tiny", "--data-dir", out / "tfds"]

    def run(*options, source=""):
        environment = os.environ | {"EARTH_EMBED_DATA": source}
        given = [*command, *options]
        done = subprocess.run(given, capture_output=True, text=True, check=False, env=environment)
        return done, out

    return run


def test_the_sweep_ends_in_tables_and_figures(sweep):
    done, out = sweep("--only", "pair_text", "--label-counts", "100")
    assert done.returncode == 0, done.stderr
    text = (out / "ridge" / "results.md").read_text()
    assert text in done.stdout
    for name in ("pair_text", INTERPOLATION, "harmonics L=10"):
        assert len(re.findall(rf"^\| {re.escape(name)} \|", text, re.MULTILINE)) == 9
    figures = [out / "ridge" / f"{name}.png" for name in ("scores", "labels", "losses")]
    assert all(figure.stat().st_size > 10_000 for figure in figures)


def test_the_sweep_goes_on_and_scores_anew_what_is_asked_otherwise(sweep):
    sweep("--only", "pair_text", "--label-counts", "100")
    done, out = sweep("--only", "pair_text", "--label-counts", "100")
    assert "scored again" not in done.stdout
    assert "==" not in done.stdout  # nothing is trained again
    done, _ = sweep("--only", "pair_text", "recipe_photo", "--label-counts", "100")
    assert done.returncode == 0, done.stderr
    assert "ridge/seed0.json is of other settings, runs or tasks: scored again" in done.stdout
    assert done.stdout.count("==") == 1
    assert "| recipe_photo |" in (out / "ridge" / "results.md").read_text()


def test_the_sweep_names_what_is_missing(sweep, tmp_path):
    done, _ = sweep("--only", "nonsense")
    assert "error: no experiment nonsense: expected some of satclip, " in done.stderr
    assert done.returncode == 1
    done, _ = sweep("--out", str(tmp_path / "other"), source=str(tmp_path))
    assert f"error: EARTH_EMBED_DATA = {tmp_path} lacks imagery/blue_marble_summer" in done.stderr
    assert "climate/bioclim_0p5deg_land.npz" in done.stderr


def test_the_grid_that_chose_the_recipe_holds_it(paper, tables):
    variants = paper.choose.variants()
    for contrast, name in ((True, "contrast, 0.001, 0.5"), (False, "regression, 0.001, none")):
        assert variants[name](("image",), tables) == paper.small.recipe(
            ("image",), tables, contrast
        )
    assert len(set(map(repr, (vary(("image",), tables) for vary in variants.values())))) == 6


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
    return paper.sweep.Sweep(tuple(results), "ridge", tmp_path, {"a": 2.0, "b": 2.0}, (0, 1))


def test_differences_are_paired_by_split_and_peaks_are_rises(paper, tmp_path):
    sweep = synthetic(paper, tmp_path, better=0.25)
    text = paper.sweep.write_tables(sweep, [("b", "a")])
    # The folds differ by 0.1, the pairs by nothing: the interval of the difference is 0.
    assert f"| b − a |{4 * ' +0.250 ± 0.000 (6/6) |'}" in text  # two tasks, and both means
    # Mean over training seeds of the largest rise above an earlier minimum: (0.5 + 1.5) / 2.
    assert "| a, image | 2.00 | 2.00 | 1.00 | 0.0071 |" in text
    assert sweep.scores(Row("a", "ridge"), "random", MEAN).shape == (2, 3)
    (tmp_path / "seed1" / "b" / "metrics.jsonl").unlink()
    with pytest.raises(DataError, match=r"seed1/b/metrics\.jsonl: expected the whole run there"):
        paper.sweep.write_tables(sweep, [])


def test_rise(paper):
    rise = paper.sweep.rise
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
