"""A verdict names what the intervals of paired differences show, and nothing else."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from earth_embed.coordinates import unit_vector
from earth_embed.evaluation.protocol import evaluate
from earth_embed.evaluation.report import print_summary, verdict, write_report
from earth_embed.evaluation.results import INTERPOLATION, MEAN, Record, Results, Row
from earth_embed.evaluation.settings import CONTINENTS, Settings
from earth_embed.tasks.labels import Labels

from .worlds import classification, places, regression

SETTINGS = Settings(tasks=(), seeds=5, label_counts=(), block_degrees=(30.0,))


def of(scores, guesses=None, **settings):
    """Results of a run "r" and of interpolation: task → (the run's scores, interpolation's)."""
    guesses = guesses or {}
    rows = (Row(INTERPOLATION, "idw"), Row("r", "ridge"))
    records = tuple(
        Record(
            *(task, row.feature, row.probe, split, seed, 0, None, 80, 20),
            scores={"r2": value, "guess": guesses.get(task, 0.0)},
        )
        for task, both in scores.items()
        for row, values in zip(rows, reversed(both), strict=True)
        for split in ("random", "10° blocks")
        for seed, value in enumerate(values)
    )
    settings = Settings(tasks=(), probes=("ridge",), **settings)
    return Results("r", settings, dict.fromkeys(scores, "regression"), records, {})


def test_wins_losses_and_ties_are_named_by_their_paired_difference():
    results = of(
        {
            "win": ([0.52, 0.62, 0.421], [0.50, 0.60, 0.40]),
            "loss": ([0.1, 0.2, 0.3], [0.4, 0.52, 0.6]),
            "tie": ([0.4, 0.5, 0.6], [0.5, 0.5, 0.5]),
        }
    )
    gains = results.gains("random")[Row(INTERPOLATION, "ridge")]
    assert verdict(results, "random") == [
        f"ridge: beats label interpolation on win ({gains['win'].signed}); "
        f"loses to label interpolation on loss ({gains['loss'].signed}), "
        f"the mean over tasks ({gains[MEAN].signed}); no difference seen on tie."
    ]


def test_a_win_must_beat_a_constant_guess_but_a_loss_need_not():
    below = ([-0.2, -0.21, -0.19], [-0.5, -0.51, -0.52])
    assert verdict(of({"t": below}), "random") == [
        "ridge: no difference seen on t, the mean over tasks."
    ]
    assert "loses" in verdict(of({"t": below[::-1]}), "random")[0]
    skewed = of({"t": ([0.9, 0.91, 0.9], [0.8, 0.8, 0.8])}, guesses={"t": 0.9})
    assert "no difference seen on t" in verdict(skewed, "random")[0]


def test_one_split_has_no_verdict():
    results = of({"t": ([0.9], [0.1])}, seeds=1)
    assert verdict(results, "random") == ["one split: no verdict"]
    folded = of({"t": ([0.9], [0.1])}, seeds=1, folds=5)
    assert verdict(folded, "random") == ["one cross-validation: no verdict"]


@pytest.fixture(scope="module")
def scored():
    """Noise that nothing predicts beside a height that the unit vector predicts."""
    lonlat, rng = places(400, 3), np.random.default_rng(4)
    vectors = unit_vector(lonlat)
    targets = (
        regression(rng.normal(size=400), "noise"),
        classification(rng.choice(3, 400, p=(0.6, 0.3, 0.1)), 3, "dice"),
        regression(vectors @ np.array([300.0, -200.0, 500.0]), "height"),
    )
    labels = Labels(lonlat, {target.name: target for target in targets})
    features = {"good": vectors, "bad": rng.normal(size=(400, 3))}
    return labels, {
        name: evaluate(features, labels, SETTINGS, name=name, progress=False) for name in features
    }


def test_noise_shows_no_difference_and_what_is_clear_is_said(scored):
    _, results = scored
    for split in SETTINGS.splits:
        for name, outcome in (("good", "beats"), ("bad", "loses to")):
            sentences = verdict(results[name], split)
            assert [sentence.split(":")[0] for sentence in sentences] == ["ridge", "mlp"]
            for sentence in sentences:
                assert f"{outcome} label interpolation on height" in sentence
                *_, ties = sentence.split("no difference seen on ")
                assert "noise" in ties
                assert "dice" in ties


def test_terminal_and_page_say_the_same(scored, tmp_path):
    labels, results = scored
    console = Console(width=300, file=io.StringIO())
    print_summary(results["bad"], console)
    predictions = {task: target.values for task, target in labels.targets.items()}
    write_report(tmp_path / "report.html", results["bad"], [labels], predictions)
    page = (tmp_path / "report.html").read_text()
    for split in SETTINGS.splits:
        for sentence in verdict(results["bad"], split):
            assert sentence in console.file.getvalue()
            assert f'<p class="verdict">{sentence}</p>' in page


def test_continents_are_splits_too():
    records = of({"t": ([0.3, 0.31, 0.3], [0.1, 0.1, 0.1])}).records
    settings = Settings(tasks=(), probes=("ridge",), seeds=1, continents=True)
    moved = tuple(dataclasses.replace(r, split=CONTINENTS) for r in records if r.split == "random")
    results = Results("r", settings, {"t": "regression"}, moved, {})
    assert "beats label interpolation on t" in verdict(results, CONTINENTS)[0]
