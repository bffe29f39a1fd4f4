"""A verdict names what the intervals of paired differences show, and nothing else."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from earth_embed.coordinates import unit_vector
from earth_embed.evaluation.protocol import evaluate
from earth_embed.evaluation.report import print_summary, verdict, write_report
from earth_embed.evaluation.results import INTERPOLATION, MEAN, Record, Results, Row
from earth_embed.evaluation.scores import NO_DIFFERENCE
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
        f"ridge: ahead of label interpolation on win ({gains['win'].signed}); "
        f"behind label interpolation on loss ({gains['loss'].signed}), "
        f"the mean over tasks ({gains[MEAN].signed}); no difference seen on tie."
    ]


def test_the_better_of_the_two_must_beat_a_constant_guess():
    below = ([-0.2, -0.21, -0.19], [-0.5, -0.51, -0.52])
    for scores in (below, below[::-1]):
        assert verdict(of({"t": scores}), "random") == [
            "ridge: no difference seen on t, the mean over tasks."
        ]
    above = ([0.2, 0.21, 0.19], [-0.5, -0.51, -0.52])
    assert verdict(of({"t": above}), "random")[0].startswith("ridge: ahead of")
    assert verdict(of({"t": above[::-1]}), "random")[0].startswith("ridge: behind")
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
    results = evaluate(features, labels, SETTINGS, name="good", progress=False)
    return labels, {name: dataclasses.replace(results, name=name) for name in features}


def test_noise_shows_no_difference_and_what_is_clear_is_said(scored):
    _, results = scored
    for split in SETTINGS.splits:
        for name, outcome in (("good", "ahead of"), ("bad", "behind")):
            sentences = verdict(results[name], split)
            assert [sentence.split(":")[0] for sentence in sentences] == ["ridge", "mlp"]
            for sentence in sentences:
                assert f"{outcome} label interpolation on height" in sentence
                *_, ties = sentence.split("no difference seen on ")
                assert "noise" in ties
                assert "dice" in ties


def test_pure_noise_shows_no_difference_for_any_probe_and_split():
    """Four tasks that nothing predicts: 20 chances for a false verdict.

    Many of the differences themselves are certain, since one overfits more than the other; but
    neither of the two beats a constant guess.
    """
    lonlat, rng = places(400, 3), np.random.default_rng(9)
    targets = {}
    for seed in range(2):
        noise = np.random.default_rng(seed)
        targets[f"normal {seed}"] = regression(noise.normal(size=400), f"normal {seed}")
        dice = noise.choice(3, 400, p=(0.6, 0.3, 0.1))
        targets[f"dice {seed}"] = classification(dice, 3, f"dice {seed}")
    features = {"run": np.sin(unit_vector(lonlat) @ rng.normal(scale=2, size=(3, 32)))}
    labels = Labels(lonlat, targets)
    results = evaluate(features, labels, SETTINGS, name="run", progress=False)
    found = [
        comparison
        for split in SETTINGS.splits
        for tasks in results.verdict(split).values()
        for comparison in tasks.values()
    ]
    assert len(found) == 2 * 2 * (4 + 1)
    assert {comparison.outcome for comparison in found} == {NO_DIFFERENCE}
    signs = [comparison.difference.sign for comparison in found]
    assert {-1, 1} <= set(signs)
    assert sum(map(abs, signs)) >= 5
    for split in SETTINGS.splits:
        names = ", ".join([*targets, "the mean over tasks"])
        expected = [f"{probe}: no difference seen on {names}." for probe in SETTINGS.probes]
        assert verdict(results, split) == expected


def test_the_verdict_is_in_the_json_too(scored, tmp_path):
    _, results = scored
    results["bad"].save(tmp_path / "results.json")
    saved = json.loads((tmp_path / "results.json").read_text())["verdict"]
    assert set(saved) == set(SETTINGS.splits)
    for split, probes in saved.items():
        for probe, tasks in probes.items():
            assert tasks["height"]["outcome"] == "behind"
            assert tasks["noise"]["outcome"] == tasks["dice"]["outcome"] == "no difference seen"
            gain = results["bad"].gains(split)[Row(INTERPOLATION, probe)]["height"]
            assert tasks["height"]["difference"] == dataclasses.asdict(gain)


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
    assert "ahead of label interpolation on t" in verdict(results, CONTINENTS)[0]
