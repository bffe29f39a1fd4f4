"""Tasks from files beside the package's own, and the splits that are not the default."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from rich.console import Console

from earth_embed.coordinates import block_of, unit_vector
from earth_embed.errors import ConfigError, DataError
from earth_embed.evaluation import run, splits
from earth_embed.evaluation.protocol import evaluate
from earth_embed.evaluation.report import print_summary
from earth_embed.evaluation.results import INTERPOLATION, MEAN, Row, load_results
from earth_embed.evaluation.settings import Settings
from earth_embed.tasks.labels import Labels
from earth_embed.tasks.user_tasks import parse_tasks

from .worlds import places, world

SETTINGS = Settings(
    tasks=("height",), seeds=2, label_counts=(), block_degrees=(30.0,), probes=("ridge",)
)


def write_table(path, lonlat, values):
    pd.DataFrame({"lon": lonlat[:, 0], "lat": lonlat[:, 1], "y": values}).to_csv(path, index=False)
    return path


@pytest.fixture
def no_report(monkeypatch):
    """Drawing takes longer than all else."""
    monkeypatch.setattr(run, "write_report", lambda *_: None)


def scores(results, task):
    return {
        (r.feature, r.split, r.seed, r.fold): r.scores for r in results.records if r.task == task
    }


def test_a_table_of_the_same_places_and_values_scores_as_the_package_s_task(
    stand_ins, labels, no_report
):
    path = write_table(stand_ins / "t.csv", labels.lonlat, labels.targets["height"].values)
    results = run.evaluate_run(
        stand_ins / "a", settings=SETTINGS, own_tasks=parse_tasks([f"again={path}:y"])
    )
    assert list(results.kinds) == ["height", "again"]
    assert scores(results, "again") == scores(results, "height")


def test_each_task_is_scored_on_its_own_rows_and_says_what_it_left_out(stand_ins, labels, capsys):
    pixels = np.tile(np.arange(36.0, dtype=np.float32)[:, None], (1, 72))
    pixels[:18] = np.nan  # nothing is known of the north
    size = {"count": 1, "height": 36, "width": 72, "dtype": "float32", "crs": "EPSG:4326"}
    with rasterio.open(
        stand_ins / "south.tif",
        "w",
        driver="GTiff",
        transform=Affine(5, 0, -180, 0, -5, 90),
        **size,
    ) as raster:
        raster.write(pixels, 1)
    towns = places(120, seed=5)
    write_table(stand_ins / "towns.csv", towns, np.where(np.arange(120) < 20, np.nan, towns[:, 1]))
    own = parse_tasks([f"south={stand_ins / 'south.tif'}", f"towns={stand_ins / 'towns.csv'}:y"])
    results = run.evaluate_run(stand_ins / "a", settings=SETTINGS, own_tasks=own)

    south = int((labels.lonlat[:, 1] < 0).sum())
    assert {task: places.scored for task, places in results.places.items()} == {
        "height": 400,
        "south": south,
        "towns": 100,
    }
    for record in results.records:
        assert record.train + record.test == results.places[record.task].scored
    assert results.places["south"].dropped == {"no data": 400 - south}
    assert results.places["towns"].dropped == {"no value": 20}
    row = Row("a", "ridge")
    for split in SETTINGS.splits:
        means = [results.scores(row, split, task) for task in results.kinds]
        np.testing.assert_allclose(results.scores(row, split, MEAN), np.mean(means, axis=0))

    folder = stand_ins / "a" / "evaluation" / "test-full-last-south-towns"
    assert load_results(folder / "results.json") == results
    report = (folder / "report.html").read_text()
    assert report.count("data:image/png") == 3 * 3
    printed = " ".join(capsys.readouterr().out.split())
    for text in (report, printed):
        assert f"south: {south} places; left out: {400 - south} no data (south.tif:1)" in text
        assert "towns: 100 places; left out: 20 no value (towns.csv:y)" in text
    assert not (stand_ins / "a" / "evaluation" / "results.json").exists()


def test_a_task_of_one_s_own_takes_the_place_of_the_package_s_and_its_layer(
    stand_ins, labels, no_report
):
    path = write_table(stand_ins / "t.csv", labels.lonlat, labels.lonlat[:, 1])
    own = parse_tasks([f"height={path}:y"])
    results = run.evaluate_run(stand_ins / "a", settings=SETTINGS, own_tasks=own)
    assert results.places["height"].source == "t.csv:y"
    with pytest.raises(DataError, match=r"'height' \(layer relief\)"):
        run.evaluate_run(stand_ins / "leaky", settings=SETTINGS, own_tasks=own)
    none = dataclasses.replace(SETTINGS, tasks=())
    relief = parse_tasks([f"relief={path}:y"])
    assert list(run.evaluate_run(stand_ins / "a", settings=none, own_tasks=relief).kinds) == [
        "relief"
    ]
    with pytest.raises(DataError, match=r"'relief' \(layer relief\)"):
        run.evaluate_run(stand_ins / "leaky", settings=none, own_tasks=relief)


def test_six_tasks_fit_a_narrow_terminal_without_a_number_cut(labels):
    height = labels.targets["height"]
    six = {f"task_{i}": dataclasses.replace(height, name=f"task_{i}") for i in range(6)}
    many = Labels(labels.lonlat, six)
    results = evaluate(
        {"xyz": unit_vector(labels.lonlat)}, many, SETTINGS, name="xyz", progress=False
    )
    console = Console(width=80, file=io.StringIO())
    print_summary(results, console)
    text = console.file.getvalue()
    assert "…" not in text
    for row, cells in results.summary("random").items():
        line = next(line for line in text.splitlines() if line.startswith(f"{row.feature} "))
        assert line.count(f"{cells['task_0'].mean:.3f}") == 7  # six and their mean


def test_no_task_and_the_name_of_the_mean_are_refused(stand_ins, labels):
    none = dataclasses.replace(SETTINGS, tasks=())
    with pytest.raises(ConfigError, match="no task"):
        run.evaluate_run(stand_ins / "a", settings=none)
    path = write_table(stand_ins / "t.csv", labels.lonlat, labels.lonlat[:, 1])
    with pytest.raises(ConfigError, match="a task named 'mean'"):
        run.evaluate_run(stand_ins / "a", settings=none, own_tasks=parse_tasks([f"mean={path}:y"]))


def test_places_too_close_for_the_blocks_name_task_and_remedy(stand_ins):
    near = places(100) / 100
    path = write_table(stand_ins / "t.csv", near + 5, near[:, 0])
    with pytest.raises(DataError, match=r"maps of near: .*smaller blocks"):
        run.evaluate_run(
            stand_ins / "a", settings=SETTINGS, own_tasks=parse_tasks([f"near={path}:y"])
        )
    close = world(100)
    close.lonlat[:] = close.lonlat / 100 + 5
    with pytest.raises(DataError, match=r"30° blocks of height, zone: .*smaller blocks"):
        evaluate({"good": unit_vector(close.lonlat)}, close, SETTINGS, name="good")


@pytest.fixture(scope="module")
def folded():
    """Folds, blocks of several sizes and continents (here: octants) at 300 places."""
    labels = world(300)
    octant = (unit_vector(labels.lonlat) > 0) @ np.array([1, 2, 4])
    settings = Settings(
        seeds=2,
        label_counts=(),
        block_degrees=(10.0, 20.0, 40.0),
        probes=("ridge",),
        continents=True,
        folds=3,
        r2_floor=-0.01,
    )
    features = {
        "noise": np.random.default_rng(0).normal(size=(300, 40)),
        "good": unit_vector(labels.lonlat),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "continent_of", lambda lonlat: octant)
        return labels, octant, evaluate(features, labels, settings, name="good", progress=False)


def test_folds_test_every_place_once_a_seed_at_every_size_of_block(folded):
    labels, _, results = folded
    kinds = ("random", "10° blocks", "20° blocks", "40° blocks")
    assert results.settings.splits == (*kinds, "continents")
    for split in kinds:
        for seed in range(2):
            tested = [
                r.test
                for r in results.records
                if (r.split, r.seed, r.task, r.feature) == (split, seed, "height", "good")
            ]
            assert (len(tested), sum(tested)) == (3, len(labels.lonlat))
    assert len(np.unique(block_of(labels.lonlat, 40.0))) < 100


def test_each_continent_is_held_out_once(folded):
    _, octant, results = folded
    held = {
        r.seed: r.test
        for r in results.records
        if (r.split, r.task, r.feature) == ("continents", "zone", INTERPOLATION)
    }
    assert held == dict(enumerate(np.bincount(octant)))
    # A place's zone is its octant, which no other octant teaches: only the odd one is ever right.
    assert results.scores(Row("good", "ridge"), "continents", "zone").max() == 0


def test_the_floor_raises_a_seed_s_mean_over_folds_and_leaves_the_records(folded):
    _, _, results = folded
    row = Row("noise", "ridge")
    by_seed = np.array(
        [
            [
                r.scores["r2"]
                for r in results.records
                if (r.feature, r.split, r.task, r.seed) == ("noise", "20° blocks", "height", seed)
            ]
            for seed in range(2)
        ]
    ).mean(axis=1)
    assert by_seed.min() < -0.01
    found = results.scores(row, "20° blocks", "height")
    np.testing.assert_allclose(found, np.maximum(by_seed, -0.01))
    bare = dataclasses.replace(
        results, settings=dataclasses.replace(results.settings, r2_floor=None)
    )
    np.testing.assert_allclose(bare.scores(row, "20° blocks", "height"), by_seed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_degrees": ()}, r"block_degrees = \(\): expected distinct numbers in \(0, 90\]"),
        ({"block_degrees": (10.0, 10.0)}, "distinct"),
        ({"block_degrees": (100.0,)}, "distinct numbers"),
        ({"folds": 1}, "folds = 1: expected 0 or a number ≥ 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Settings(**changes)
