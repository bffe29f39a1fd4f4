"""The comparison of the quickstart with its variants: what is trained, scored and written."""

import dataclasses

import pytest

from earth_embed.config.files import load_experiment
from earth_embed.evaluation.results import INTERPOLATION, Record, Results
from earth_embed.evaluation.settings import Settings
from tests.experiments.conftest import PAPER


@pytest.fixture(scope="module")
def compare():
    """experiments/compare.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PAPER.parent)
        import compare

        yield compare


def results(gain):
    """Scores of two splits that differ by 0.1; the quickstart is better by `gain`."""
    settings = Settings(tasks=("height",), seeds=2, label_counts=())
    rows = [(INTERPOLATION, "idw"), *((f, p) for p in settings.probes for f in ("x", "quickstart"))]
    records = tuple(
        Record(
            *(task, feature, probe, split, seed, 0, None, 100, 25),
            {"r2": 0.5 + 0.1 * seed + (gain if feature == "quickstart" else 0), "guess": 0.0},
        )
        for task in ("height", "depth")
        for feature, probe in rows
        for split in settings.splits
        for seed in range(2)
    )
    kinds = {"height": "regression", "depth": "regression"}
    return Results("quickstart", settings, kinds, records, {})


def test_tables_have_a_row_for_all_features_under_each_probe(compare):
    text = compare.write_tables((results(0.2), results(0.4)))
    for probe in ("ridge", "mlp"):
        assert f"{probe} probe, random / 10° blocks, mean over 2 training seeds × 2 splits" in text
    for feature, score in (("quickstart", "0.850"), ("x", "0.550"), (INTERPOLATION, "0.550")):
        assert text.count(f"| {feature} |{3 * f' {score} / {score} |'}\n") == 2
    for feature in ("x", INTERPOLATION):
        assert text.count(f"| quickstart − {feature} |{4 * ' +0.300 ± 0.000 (4/4) |'}\n") == 2


def test_a_seed_is_trained_and_scored_once(
    compare, sources, make_experiment, monkeypatch, tmp_path
):
    assert compare.RUNS[0] == load_experiment("quickstart")
    assert [run.name for run in compare.RUNS[1:]] == [
        *("pair_image", "pair_text", "pair_turbidity", "salt_three")
    ]
    runs = [make_experiment(steps=1), make_experiment("salt", steps=1)]
    runs = [dataclasses.replace(run, name=name) for run, name in zip(runs, "ab", strict=True)]
    scored = []

    def evaluate_run(first, *, extra_runs, **options):
        scored.append((first, extra_runs))
        (first / "evaluation").mkdir()
        results(0.0).save(first / "evaluation" / "results.json")

    monkeypatch.setattr(compare, "RUNS", tuple(runs))
    monkeypatch.setattr(compare, "open_sources", lambda experiment, folder: sources)
    monkeypatch.setattr(compare, "evaluate_run", evaluate_run)
    for _ in range(2):
        assert compare.evaluate_seed(tmp_path, 3, None).kinds.keys() == {"height", "depth"}
    assert scored == [(tmp_path / "a", [tmp_path / "b"])]
    for name in "ab":
        assert '"seed": 3' in (tmp_path / name / "run.json").read_text()
