import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earth_embed.config import (
    Experiment,
    LocationConfig,
    LogitScale,
    Melt,
    Modality,
    Optimizer,
    Pair,
    Salt,
)
from earth_embed.config.files import differences, from_json, load_experiment, to_json
from earth_embed.errors import ConfigError

IMAGE = Modality("image", "blue_marble", "image", "image")
TEXT = Modality("text", "toponyms", "text", "text")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LocationConfig(degree=0), r"location\.degree = 0: expected 1 … 200"),
        (lambda: LocationConfig(degree=201), r"location\.degree = 201: expected"),
        (lambda: LocationConfig(hidden=()), r"location\.hidden = \(\): expected at least one"),
        (lambda: LocationConfig(dropout=1.0), r"location\.dropout = 1\.0: expected .* \[0, 1\)"),
        (lambda: Optimizer(learning_rate=-1), r"optimizer\.learning_rate = -1: expected .* > 0"),
        (lambda: Optimizer(learning_rate=float("nan")), r"learning_rate = nan: expected"),
        (lambda: LogitScale(0.001), r"temperature = 0\.001: expected .* ≥ min_temperature"),
        (lambda: Melt(negatives="all"), r"negatives = 'all': expected one of 'joint', 'within'"),
        (lambda: Modality("2", "d", "f"), r"\['2'\]\.name = '2': expected letters"),
        (lambda: Experiment("e", (IMAGE, TEXT), Pair()), "one modality with method Pair"),
        (lambda: Experiment("e", (IMAGE,), Salt()), "two or more with method Salt"),
        (lambda: Experiment("e", (IMAGE, IMAGE)), "distinct names"),
        (lambda: Experiment("a/b", (IMAGE, TEXT)), r"experiment\.name = 'a/b'"),
        (
            lambda: Experiment("e", (IMAGE, TEXT), Melt(quotas=(3, 4)), batch_size=8),
            r"method\.quotas = \(3, 4\): expected 2 counts that sum to batch_size = 8",
        ),
    ],
)
def test_faults_name_the_field_the_value_and_what_is_allowed(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_every_fault_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        LocationConfig(degree=0, features=0, w0_first=0)
    assert len(str(caught.value).splitlines()) == 3


@given(
    method=st.sampled_from(
        [Melt(quotas=(100, 156)), Melt(negatives="within"), Salt(3, "shuffled")]
    ),
    degree=st.integers(1, 200),
    hidden=st.lists(st.integers(1, 999), min_size=1).map(tuple),
    rate=st.floats(1e-9, 1.0),
    layers=st.lists(st.text()).map(tuple),
)
def test_json_round_trip(method, degree, hidden, rate, layers):
    experiment = Experiment(
        "e",
        (IMAGE, dataclasses.replace(TEXT, layers=layers)),
        method,
        LocationConfig(degree, hidden),
        optimizer=Optimizer(rate),
        batch_size=256,
    )
    again = from_json(json.loads(json.dumps(to_json(experiment))))
    assert again == experiment
    assert differences(experiment, again) == []


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Experiment("e", (IMAGE, TEXT), steps=1e3), r"steps = 1000\.0: expected int"),
        (lambda: Experiment("e", [IMAGE, TEXT]), "modalities = .*: expected a tuple of Modality"),
        (lambda: LogitScale(float("inf")), r"temperature = inf: expected a finite float"),
        (lambda: Modality("m", "d", "f", mean=float("nan")), "mean = nan: expected a finite"),
        (
            lambda: Modality("m", "d", "f", layers="elevation"),
            "layers = 'elevation': expected a t",
        ),
        (lambda: LogitScale(learnable=1), "learnable = 1: expected bool"),
        (lambda: Experiment("e", (IMAGE, TEXT), "melt"), "method = 'melt': expected Pair or Melt"),
    ],
)
def test_types_are_checked(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_data_set_shows_its_own_layer():
    def shown(dataset, **changes):
        return Modality("m", dataset, "f", **changes).shown_layers

    for dataset in ("linke_turbidity", "linke_turbidity/tiny", "linke_turbidity:1.0.0"):
        assert shown(dataset) == {"linke_turbidity"}
    assert shown("data/dem.csv", layers=("elevation",)) == {"dem", "elevation"}
    both = Experiment("e", (IMAGE, TEXT)).shown_layers
    assert both == {"blue_marble", "toponyms"}


def test_differences_name_each_field():
    old = Experiment("e", (IMAGE, TEXT), Melt())
    new = dataclasses.replace(
        old, modalities=(IMAGE, dataclasses.replace(TEXT, width=9)), method=Salt(), steps=5
    )
    lines = differences(old, new)
    assert "steps: 1000 → 5" in lines
    assert "modalities.1.width: 64 → 9" in lines
    assert "method.kind: 'Melt' → 'Salt'" in lines
    assert "method.negatives: 'joint' → 'absent'" in lines


def test_unknown_fields_in_a_run_are_named():
    values = to_json(Experiment("e", (IMAGE, TEXT)))
    values["location"]["colour"] = 1
    with pytest.raises(ConfigError, match=r"experiment\.location has no field \['colour'\]"):
        from_json(values)
    values = to_json(Experiment("e", (IMAGE, TEXT)))
    values["method"]["kind"] = "Pepper"
    with pytest.raises(ConfigError, match=r"method\.kind = 'Pepper': expected one of"):
        from_json(values)


def test_experiment_files(tmp_path):
    (tmp_path / "base_for_test.py").write_text("STEPS = 7\n")
    good = tmp_path / "good.py"
    good.write_text(
        "from base_for_test import STEPS\n"
        "from earth_embed.config import *\n"
        "experiment = Experiment('e', (Modality('m', 'd', 'f'),), Pair(), steps=STEPS)\n"
    )
    assert load_experiment(good).steps == 7
    # Another folder's neighbour of the same name is another module.
    other = tmp_path / "other"
    other.mkdir()
    (other / "base_for_test.py").write_text("STEPS = 8\n")
    (other / "good.py").write_text(good.read_text())
    assert load_experiment(other / "good.py").steps == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no experiment file"),
        ("x = 1\n", "must define experiment = Experiment.*found no such name"),
        ("experiment = 3\n", "found int"),
        ("import nonexistent_module\n", "failed: ModuleNotFoundError"),
        ("def (:\n", "failed: SyntaxError"),
        (
            "from earth_embed.config import *\nLocationConfig(degree=0)\n",
            r"location\.degree = 0: expected",
        ),
    ],
)
def test_experiment_file_errors(tmp_path, text, message):
    path = tmp_path / "bad.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_experiment(path)
