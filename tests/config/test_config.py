import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earth_embed.config import (
    Cartesian,
    Combined,
    Concatenation,
    EqualEarth,
    EqualEarthFourier,
    Experiment,
    HashGrid,
    Linear,
    LocationConfig,
    LogitScale,
    Melt,
    Mlp,
    Modality,
    Optimizer,
    Pair,
    ResidualMlp,
    ResidualSiren,
    Salt,
    Siren,
    Space2Vec,
    Sphere2Vec,
    SphereFourier,
    SphericalHarmonics,
    SphericalVoronoi,
    TokenTransformer,
    Wrap,
)
from earth_embed.config.files import differences, from_json, load_experiment, to_json
from earth_embed.encoders.location import describe, harmonics_in
from earth_embed.errors import ConfigError

IMAGE = Modality("image", "blue_marble", "image", "image")
TEXT = Modality("text", "toponyms", "text", "text")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SphericalHarmonics(0), r"location\.encoding\.degree = 0: expected 1 … 1024"),
        (lambda: SphericalHarmonics(1025), r"location\.encoding\.degree = 1025: expected"),
        (lambda: Siren(()), r"location\.network\.hidden = \(\): expected at least one"),
        (lambda: Siren(dropout=1.0), r"network\.dropout = 1\.0: expected .* \[0, 1\)"),
        (lambda: SphericalHarmonics(low_pass_km=-1.0), r"low_pass_km = -1\.0: expected .* ≥ 0"),
        (
            lambda: SphericalHarmonics(learnable_low_pass=True),
            r"low_pass_km = 0\.0: expected a number > 0",
        ),
        (lambda: SphericalHarmonics(normalisation="4π"), "normalisation = '4π': expected one of"),
        (lambda: EqualEarthFourier(sigmas=()), r"sigmas = \(\): expected at least one number"),
        (lambda: EqualEarthFourier(sigmas=(1.0, 0.0)), r"sigmas = \(1\.0, 0\.0\): expected"),
        (lambda: SphereFourier(frequencies=0), r"encoding\.frequencies = 0: expected"),
        (lambda: Space2Vec("hexagon"), "variant = 'hexagon': expected one of 'grid', 'theory'"),
        (lambda: Space2Vec(min_radius=2.0), r"min_radius = 2\.0: expected at most max_radius = 1"),
        (lambda: Sphere2Vec("D"), "variant = 'D': expected one of 'C', 'C"),
        (lambda: Sphere2Vec(scales=0), r"encoding\.scales = 0: expected a number ≥ 1"),
        (lambda: HashGrid(finest_km=5000.0), r"finest_km = 5000\.0: expected at most 4000"),
        (lambda: HashGrid(finest_km=0.5), r"finest_km = 0\.5: expected a number ≥ 1"),
        (lambda: SphericalVoronoi(blur_km=1.0), r"blur_km = 1\.0: expected a number ≥ 20"),
        (lambda: Concatenation(()), r"parts = \(\): expected at least one encoding"),
        (lambda: Concatenation((3,)), "expected a tuple of SphericalHarmonics or EqualEarth or"),
        (lambda: LocationConfig(features=0), r"location\.features = 0: expected a number ≥ 1"),
        (lambda: LocationConfig("wrap"), "encoding = 'wrap': expected SphericalHarmonics or"),
        (lambda: LocationConfig(Wrap(), TokenTransformer()), "expected an encoding in scales"),
        (lambda: TokenTransformer(width=10, heads=3), "heads = 3: expected a divisor of width"),
        (lambda: TokenTransformer(heads=0), "heads = 0: expected a number ≥ 1"),
        (lambda: ResidualSiren(first="cosine"), "first = 'cosine': expected one of 'sine', 'sinh'"),
        (lambda: ResidualMlp(depth=0), r"network\.depth = 0: expected a number ≥ 1"),
        (lambda: Mlp((8, 0)), r"hidden = \(8, 0\): expected at least one positive width"),
        (lambda: Combined(()), r"parts = \(\): expected at least one location encoder"),
        (
            lambda: Combined((LocationConfig(), LocationConfig(features=7))),
            r"parts\.features = \[256, 7\]: expected one dimension in a sum",
        ),
        (
            lambda: Combined((LocationConfig(),), "product"),
            "how = 'product': expected one of 'sum'",
        ),
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
        Siren((), w0_first=0, w0_hidden=-1)
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(ConfigError) as caught:
        Salt(phase_epochs=0, order="random", temperature="none")
    assert str(caught.value).splitlines() == [
        "method.order = 'random': expected one of 'cyclic', 'shuffled'",
        "method.temperature = 'none': expected one of 'shared', 'per_modality'",
        "method.phase_epochs = 0: expected a number ≥ 1",
    ]


radii = {"min_radius": st.floats(1e-3, 0.5), "max_radius": st.floats(0.5, 9)}
counts, lengths = st.integers(1, 999), st.floats(20, 9000)
several = st.lists(st.floats(0.1, 1e4), min_size=1).map(tuple)
widths = st.lists(counts, min_size=1).map(tuple)
multi_scale = st.one_of(
    st.builds(EqualEarthFourier, counts, several),
    st.builds(SphereFourier, counts, several),
    st.builds(Space2Vec, st.sampled_from(["grid", "theory"]), counts, **radii),
    st.builds(HashGrid, counts, counts, counts, st.floats(50, 9e3), st.floats(1, 50)),
)
encodings = st.recursive(
    multi_scale
    | st.builds(
        SphericalHarmonics, st.integers(1, 1024), st.just("satclip"), lengths, st.booleans()
    )
    | st.builds(Sphere2Vec, st.sampled_from(["C", "C+", "M", "M+", "DFS"]), counts, **radii)
    | st.builds(SphericalVoronoi, counts, counts, lengths)
    | st.sampled_from([EqualEarth(), Wrap(), Cartesian()]),
    lambda parts: st.lists(parts, min_size=1, max_size=3).map(lambda p: Concatenation(tuple(p))),
    max_leaves=4,
)
networks = (
    st.builds(Siren, widths, lengths, lengths, st.floats(0, 0.9))
    | st.builds(ResidualSiren, counts, counts, lengths, lengths, st.sampled_from(["sine", "sinh"]))
    | st.builds(Mlp, widths)
    | st.builds(ResidualMlp, counts, counts)
    | st.just(Linear())
)
locations = st.recursive(
    st.builds(LocationConfig, encodings, networks, st.just(64))
    | st.builds(LocationConfig, multi_scale, st.just(TokenTransformer(12, 3, 4)), st.just(64)),
    lambda parts: st.lists(parts, min_size=1, max_size=3).map(lambda p: Combined(tuple(p), "sum")),
    max_leaves=3,
)


@given(
    method=st.sampled_from(
        [Melt(quotas=(100, 156)), Melt(negatives="within"), Salt(3, "shuffled")]
    ),
    location=locations,
    rate=st.floats(1e-9, 1.0),
    layers=st.lists(st.text()).map(tuple),
)
def test_json_round_trip(method, location, rate, layers):
    experiment = Experiment(
        "e",
        (IMAGE, dataclasses.replace(TEXT, geo_layers=layers)),
        method,
        location,
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
            lambda: Modality("m", "d", "f", geo_layers="elevation"),
            "geo_layers = 'elevation': expected a t",
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
    assert shown("data/dem.csv", geo_layers=("elevation",)) == {"dem", "elevation"}
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


def test_differences_name_what_lies_deep_in_an_encoder():
    parts = (LocationConfig(Concatenation((Wrap(), SphericalHarmonics(4)))), LocationConfig())
    old = Experiment("e", (IMAGE, TEXT), location=Combined(parts))
    deeper = LocationConfig(Concatenation((Cartesian(), SphericalHarmonics(5))))
    new = dataclasses.replace(old, location=Combined((deeper, parts[1])))
    assert differences(old, new) == [
        "location.parts.0.encoding.parts.0.kind: 'Wrap' → 'Cartesian'",
        "location.parts.0.encoding.parts.1.degree: 4 → 5",
    ]
    alone = differences(old, dataclasses.replace(old, location=LocationConfig()))
    assert "location.kind: 'Combined' → 'LocationConfig'" in alone


def test_runs_saved_when_there_was_one_encoder_are_read():
    values = to_json(Experiment("e", (IMAGE, TEXT)))
    values["location"] = {
        "degree": 15,
        "hidden": [512, 256],
        "features": 128,
        "w0_first": 10.0,
        "w0_hidden": 2.0,
        "dropout": 0.25,
    }
    siren = Siren((512, 256), w0_first=10.0, w0_hidden=2.0, dropout=0.25)
    assert from_json(values).location == LocationConfig(SphericalHarmonics(15), siren, 128)
    assert values["location"]["degree"] == 15  # what was given is left as it was
    values["location"]["colour"] = 1
    with pytest.raises(ConfigError, match=r"location\.network has no field \['colour'\]"):
        from_json(values)


def test_runs_saved_when_geo_layers_were_layers_are_read():
    experiment = Experiment("e", (IMAGE, dataclasses.replace(TEXT, geo_layers=("soil",))))
    values = to_json(experiment)
    for modality in values["modalities"]:
        modality["layers"] = modality.pop("geo_layers")
    assert from_json(values) == experiment


def test_an_encoder_says_what_it_is_made_of():
    harmonics = LocationConfig(SphericalHarmonics(7))
    both = LocationConfig(Concatenation((Wrap(), SphericalHarmonics(9))), Linear())
    combined = Combined((harmonics, both))
    assert describe(combined) == (
        "(SphericalHarmonics → Siren + (Wrap, SphericalHarmonics) → Linear)"
    )
    assert describe(Combined((harmonics, both), "concatenation")).count(", ") == 2
    assert [part.degree for part in harmonics_in(combined)] == [7, 9]
    assert list(harmonics_in(LocationConfig(Cartesian()))) == []


def test_unknown_fields_in_a_run_are_named():
    values = to_json(Experiment("e", (IMAGE, TEXT)))
    values["location"]["colour"] = 1
    with pytest.raises(ConfigError, match=r"experiment\.location has no field \['colour'\]"):
        from_json(values)
    values = to_json(Experiment("e", (IMAGE, TEXT)))
    values["location"]["encoding"] = {"kind": "Pepper"}
    with pytest.raises(ConfigError, match=r"location\.encoding\.kind = 'Pepper': expected one"):
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
            "from earth_embed.config import *\nSphericalHarmonics(degree=0)\n",
            r"encoding\.degree = 0: expected",
        ),
    ],
)
def test_experiment_file_errors(tmp_path, text, message):
    path = tmp_path / "bad.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_experiment(path)


ROOT = Path(__file__).parents[2]
NAMED = """
from earth_embed.config import *
experiments = {
    name: Experiment(name, (Modality("m", "d", "f"),), Pair(), seed=seed)
    for seed, name in enumerate(("first", "second"))
}
"""


def test_files_of_several_experiments(tmp_path):
    path = tmp_path / "list.py"
    path.write_text(NAMED)
    assert [load_experiment(f"{path}:{name}").seed for name in ("first", "second")] == [0, 1]
    # A file may define one experiment to run without a name, beside the others.
    path.write_text(f"{NAMED}experiment = experiments['second']\n")
    assert load_experiment(path).name == "second"
    assert load_experiment(f"{path}:first").name == "first"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (
            NAMED,
            "",
            r"list\.py defines several experiments; expected .*list\.py:NAME .* first, sec",
        ),
        (NAMED, ":third", r"list\.py has no experiment 'third'; expected one of first, second$"),
        (NAMED, ":", r"list\.py has no experiment ''"),
        ("experiment = 3\n", ":first", r"must define experiments = .* for .*:first, found no such"),
        ("experiments = [3]\n", ":first", "must define experiments = .*, found list"),
        ("experiments = [3]\n", "", r"must define experiment = .*, found no such name"),
        ("experiments = {'first': 3}\n", ":first", r"experiments\['first'\] must .* found int"),
        (None, ":first", r"no experiment file '.*list\.py'; expected"),
    ],
)
def test_errors_of_files_of_several_experiments(tmp_path, text, name, message):
    if text is not None:
        (tmp_path / "list.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_experiment(f"{tmp_path}/list.py{name}")


@pytest.mark.parametrize("name", ["", ":first"])
def test_a_drive_s_colon_is_part_of_the_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "C:\\list.py").write_text(f"{NAMED}experiment = experiments['first']\n")
    assert load_experiment(f"C:\\list.py{name}").name == "first"


def test_the_quickstart_comes_with_the_package(tmp_path, monkeypatch):
    packaged = load_experiment("quickstart")
    assert load_experiment(ROOT / "experiments" / "quickstart.py") == packaged
    assert packaged.name == "quickstart"
    monkeypatch.chdir(tmp_path)
    assert load_experiment("quickstart") == packaged
    Path("quickstart").mkdir()  # a folder is no experiment
    assert load_experiment("quickstart") == packaged
    with pytest.raises(ConfigError, match=r"no experiment 'pair'; expected .*: quickstart$"):
        load_experiment("pair")
    Path("quickstart").rmdir()
    Path("quickstart").write_text(f"{NAMED}experiment = experiments['second']\n")
    assert load_experiment("quickstart").name == "second"
