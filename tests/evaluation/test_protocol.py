import base64
import dataclasses
import html.parser
import io
import json

import numpy as np
import pytest
from rich.console import Console

from earth_embed.coordinates import block_of, unit_vector
from earth_embed.errors import ConfigError, DataError, EarthEmbedError
from earth_embed.evaluation import run
from earth_embed.evaluation.protocol import evaluate, out_of_block
from earth_embed.evaluation.report import print_summary, write_report
from earth_embed.evaluation.results import INTERPOLATION, MEAN, Row, load_results
from earth_embed.evaluation.scores import score
from earth_embed.evaluation.settings import Settings
from earth_embed.files import write_text
from tests.killing import assert_survives

from .worlds import world

SETTINGS = Settings(
    tasks=("height", "zone"), seeds=2, label_counts=(60, 10_000), block_degrees=(30.0,)
)
BLOCKS = "30° blocks"


@pytest.fixture(scope="module")
def features(labels):
    noise = np.random.default_rng(0).normal(size=(len(labels.lonlat), 3))
    return {"noise": noise, "good": unit_vector(labels.lonlat).astype(np.float32)}


@pytest.fixture(scope="module")
def results(features, labels):
    return evaluate(features, labels, SETTINGS, name="good", progress=False)


def test_every_combination_is_scored_once(results):
    keys = [(r.task, r.feature, r.probe, r.split, r.seed, r.labels) for r in results.records]
    assert len(set(keys)) == len(keys)
    # tasks × splits × seeds × label counts (10,000 is more than all) × rows
    assert len(keys) == 2 * 2 * 2 * 2 * (1 + 2 * 2)
    assert {r.labels for r in results.records} == {60, None}
    assert {r.train for r in results.records if r.labels == 60} == {60}


def test_good_features_win_and_noise_loses(results):
    for split in SETTINGS.splits:
        summary = results.summary(split)
        assert summary[Row("good", "ridge")]["height"].mean > 0.999
        assert summary[Row("noise", "ridge")]["height"].mean < 0.1
        assert results.best(split)["height"] == Row("good", "ridge")
        gain = results.gains(split)[Row("noise", "ridge")]["height"]
        means = [summary[Row(feature, "ridge")]["height"].mean for feature in ("good", "noise")]
        assert gain.mean == pytest.approx(means[0] - means[1])


def test_mean_over_tasks_averages_seed_by_seed(results):
    row = Row("good", "ridge")
    by_task = [results.scores(row, BLOCKS, task) for task in ("height", "zone")]
    np.testing.assert_allclose(results.scores(row, BLOCKS, MEAN), np.mean(by_task, axis=0))


def test_evaluation_repeats_bit_for_bit(features, labels, results):
    again = evaluate(features, labels, SETTINGS, name="good", progress=False)
    assert again.records == results.records


def test_results_round_trip(results, tmp_path):
    results.save(tmp_path / "results.json")
    assert load_results(tmp_path / "results.json") == results
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    (tmp_path / "other.json").write_text(json.dumps({"name": "x"}))
    for name in ("other.json", "missing.json"):
        with pytest.raises(DataError, match=name):
            load_results(tmp_path / name)


def test_maps_predict_each_place_without_its_block():
    labels = world(120)
    heights, zones = labels.targets["height"], labels.targets["zone"]
    vectors = unit_vector(labels.lonlat)
    predictions = out_of_block(vectors, labels, (heights, zones), 30.0)
    assert score("regression", heights.values, predictions["height"])["r2"] > 0.999
    assert predictions["zone"].dtype == np.int64
    # A feature that names the block recalls its labels, which helps no place outside of it.
    blocks = np.unique(block_of(labels.lonlat, 30.0), return_inverse=True)[1]
    guess = out_of_block(np.eye(blocks.max() + 1)[blocks], labels, (heights,), 30.0)["height"]
    assert score("regression", heights.values, guess)["r2"] < 0.1


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.images = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("img", "source"):
            self.images.append(dict(attributes)["src" if tag == "img" else "srcset"])
        if tag not in ("meta", "img", "source", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_is_one_whole_file_that_asks_for_nothing_else(results, labels, features, tmp_path):
    predictions = out_of_block(features["good"], labels, labels.targets.values(), 30.0)
    write_report(tmp_path / "report.html", results, [labels], predictions)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    # A curve for each split, task and their mean, drawn for two themes; three maps of each task.
    assert len(page.images) == 2 * 2 * 3 + 3 * len(predictions)
    for source in page.images:
        head, data = source.split(",", 1)
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    links = {"href", "src", "action", "srcset"}
    linked = [tag for tag, attributes in page.tags if links & attributes.keys()]
    assert set(linked) == {"img", "source"}
    policy = next(a["content"] for tag, a in page.tags if "http-equiv" in a)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "url(" not in text
    for row in results.rows:
        assert row.feature in text


def test_summary_names_rows_and_winner(results):
    console = Console(width=80, file=io.StringIO())
    print_summary(results, console)
    text = console.file.getvalue()
    for row in results.rows:
        assert row.feature in text
    assert str(results.summary(BLOCKS)[Row("good", "ridge")]["zone"]) in text


def test_unknown_task_and_settings_name_what_there_is(features, labels):
    with pytest.raises(ConfigError, match=r"'depth'.*'height', 'zone'"):
        run.select_targets(labels, ("depth",))
    with pytest.raises(ConfigError, match=r"probes = \('forest',\).*ridge.*mlp"):
        Settings(probes=("forest",))
    with pytest.raises(ConfigError, match="'best' must be one of the features"):
        evaluate(features, labels, SETTINGS, name="best")


def test_bad_features_and_too_few_places_are_refused(features, labels):
    broken = features["good"].copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match="'good' are not finite at 1 of 400 places"):
        evaluate({"good": broken}, labels, SETTINGS, name="good")
    with pytest.raises(DataError, match=r"\(399, 3\): expected \(400, D\)"):
        evaluate({"good": broken[1:]}, labels, SETTINGS, name="good")
    few = world(40)
    with pytest.raises(
        DataError, match="40 labelled places are too few to evaluate height, zone on"
    ):
        evaluate({"good": unit_vector(few.lonlat)}, few, SETTINGS, name="good")


def test_a_run_is_evaluated_beside_baselines_and_other_runs(stand_ins, capsys):
    settings = dataclasses.replace(SETTINGS, probes=("ridge",))
    results = run.evaluate_run(stand_ins / "a", settings=settings, extra_runs=[stand_ins / "b"])
    assert [row.feature for row in results.rows] == [
        INTERPOLATION,
        "unit vector",
        "harmonics L=10",
        "untrained encoder",
        "a",
        "b",
    ]
    written = sorted(path.name for path in (stand_ins / "a" / "evaluation").iterdir())
    assert written == ["report.html", "results.json"]
    assert load_results(stand_ins / "a" / "evaluation" / "results.json") == results
    assert "untrained encoder" in capsys.readouterr().out


def test_a_full_disk_leaves_the_scores_in_the_terminal(stand_ins, monkeypatch, capsys):
    def full(path, *rest):
        raise EarthEmbedError("No space left on device")

    monkeypatch.setattr(run, "write_report", full)
    settings = dataclasses.replace(SETTINGS, tasks=("height",), probes=("ridge",), seeds=1)
    with pytest.raises(EarthEmbedError, match="No space left"):
        run.evaluate_run(stand_ins / "a", settings=settings)
    assert "unit vector" in capsys.readouterr().out


def test_killed_at_any_moment_and_done_again(stand_ins, monkeypatch):
    settings = dataclasses.replace(SETTINGS, tasks=("height",), probes=("ridge",), seeds=1)
    # What matters here are the files: scores are computed once, and nothing is drawn.
    monkeypatch.setattr(run, "write_report", lambda path, *rest: write_text(path, "drawn"))

    def compute_once(name):
        function, found = getattr(run, name), []

        def same(*args, **options):
            if not found:
                found.append(function(*args, **options))
            return found[0]

        monkeypatch.setattr(run, name, same)

    for name in ("evaluate", "out_of_block"):
        compute_once(name)

    def make(name):
        (stand_ins / name / "a").mkdir(parents=True)
        return stand_ins / name

    assert_survives(make, lambda folder: run.evaluate_run(folder / "a", settings=settings))


def test_a_layer_that_training_showed_is_refused_before_any_work(stand_ins):
    with pytest.raises(DataError, match=r"'height' \(layer relief\)"):
        run.evaluate_run(stand_ins / "a", settings=SETTINGS, extra_runs=[stand_ins / "leaky"])
    assert not (stand_ins / "a" / "evaluation").exists()
    only_zone = dataclasses.replace(SETTINGS, tasks=("zone",), probes=("ridge",), seeds=1)
    run.evaluate_run(stand_ins / "leaky", settings=only_zone)


def test_two_runs_of_one_name_are_refused(stand_ins):
    with pytest.raises(ConfigError, match="two runs lie in directories called 'a'"):
        run.evaluate_run(stand_ins / "a", settings=SETTINGS, extra_runs=[stand_ins / "a"])
