"""The command line: every field can be set, and a mistake is one message and status 2."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from earth_embed import cli
from earth_embed.cli import main
from earth_embed.cli.train import parse_train
from earth_embed.config import LocationConfig, Melt, Salt, Siren, SphericalHarmonics
from earth_embed.config.files import load_experiment
from earth_embed.data.tables import open_table
from earth_embed.pretrained.encoder import load
from earth_embed.training.run_dir import read_experiment
from tests.conftest import random_places
from tests.training.runs import checkpoint_steps, contents

# protobuf and ml_dtypes warn from within TensorFlow's own import
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:tensorflow.*")


def fields_of(value, prefix=""):
    """Every option that overrides a field of the experiment, and of what it is made."""
    for field in dataclasses.fields(value):
        name = f"{prefix}{field.name}".replace("_", "-")
        inner = getattr(value, field.name)
        parts = inner if isinstance(inner, tuple) else (inner,)
        if parts and all(map(dataclasses.is_dataclass, parts)):
            numbered = isinstance(inner, tuple)
            for i, part in enumerate(parts):
                yield from fields_of(part, f"{name}.{i}." if numbered else f"{name}.")
        else:
            yield f"--{name}"


def test_usage_and_version(capsys):
    for arguments in ([], ["--help"], ["-h"]):
        main(arguments)
        assert "earth-embed COMMAND" in capsys.readouterr().out
    main(["--version"])
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("command", ["evaluate", "diagnose", "embed", "map", "import", "features"])
def test_help_does_not_wait_for_what_the_command_needs(command):
    code = f"""
import sys
from earth_embed.cli import main
try:
    main([{command!r}, "--help"])
except SystemExit:
    heavy = {{"optax", "orbax", "matplotlib", "sklearn", "tensorflow"}}
    print("loaded:", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"usage: earth-embed {command}" in done.stdout, done.stderr
    assert "loaded: []" in done.stdout


def test_unknown_command(refused):
    message = refused("trian")
    known = "train, evaluate, diagnose, embed, map, import, features, prepare"
    assert message == f"error: no command 'trian'; expected one of {known}\n"


def test_overrides_reach_nested_fields(experiment):
    changed, where = parse_train(
        [
            *(str(experiment), "--location.encoding.degree", "5", "--modalities.0.width", "9"),
            *("--method.negatives", "within", "--location.network.hidden", "8", "12"),
            *("--modalities.1.geo-layers", "climate", "soil", "--optimizer.learning-rate", "3e-3"),
            *("--logit-scale.no-learnable", "--run-dir", "elsewhere"),
        ]
    )
    original = load_experiment(experiment)
    first, second = original.modalities
    assert changed == dataclasses.replace(
        original,
        location=LocationConfig(SphericalHarmonics(5), Siren((8, 12), dropout=0.1), features=8),
        modalities=(
            dataclasses.replace(first, width=9),
            dataclasses.replace(second, geo_layers=("climate", "soil")),
        ),
        method=Melt(negatives="within"),
        optimizer=dataclasses.replace(original.optimizer, learning_rate=3e-3),
        logit_scale=dataclasses.replace(original.logit_scale, learnable=False),
    )
    assert where.run_dir == Path("elsewhere")
    assert parse_train([str(experiment)])[0] == original


def test_the_method_can_be_changed_for_another(experiment, refused):
    expected = dataclasses.replace(load_experiment(experiment), method=Salt(phase_epochs=2))
    for option in (["--method", "salt"], ["--method=salt"]):
        changed, _ = parse_train([str(experiment), *option, "--method.phase-epochs=2"])
        assert changed == expected
    for option in (["--method=pepper"], ["--method="], ["--method"]):
        assert "expected one of pair, melt, salt" in refused("train", experiment, *option)
    assert "expected one of pair, melt, salt" in refused("train", experiment, "--method", "pepper")
    assert "one modality with method Pair" in refused("train", experiment, "--method", "pair")


def test_help_lists_and_explains_every_field(experiment, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # one column of boxes
    with pytest.raises(SystemExit) as caught:
        main(["train", str(experiment), "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    options = list(fields_of(load_experiment(experiment)))
    assert {"--steps", "--modalities.1.width", "--method.negatives"} <= set(options)
    for option in [*options, "--run-dir", "--data-dir"]:
        shown = re.search(rf" {re.escape(option)}[ ,](.*?)\(default", text)
        assert shown, f"{option} is not listed"
        assert len(shown[1].split()) >= 3, f"{option} is not explained: {shown[1]}"
    assert "Negatives of a sample: all other locations in the batch" in text
    assert "Number L of degrees l = 0 … L−1" in text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("--location.encoding.degree 0", r"location\.encoding\.degree = 0: expected 1 … 1024"),
        ("--location.encoding.degree ten", r"--location\.encoding\.degree.*'ten'"),
        ("--location.encoding.degre 5", r"--location\.encoding\.degre\b"),
        ("--modalities.0.width 0", r"modalities\['a'\]\.width = 0: expected a number ≥ 1"),
        ("--modalities.0.encoder tetx", r"encoder = 'tetx': expected one of .*'text'"),
        ("--modalities.1.name a", r"modalities = \['a', 'a'\]: expected distinct names"),
        ("--method.negatives all", r"'all'.*--method\.negatives.*'joint', 'within'"),
        ("--method.quotas 5 6", r"quotas = \(5, 6\): expected 2 counts that sum to batch_size"),
        ("--optimizer.warmup-steps 9", r"optimizer\.warmup_steps = 9: expected at most steps = 4"),
        ("--method.phase-epochs 2", r"--method\.phase-epochs"),
        ("--steps", r"--steps"),
        ("--name a/b", r"experiment\.name = 'a/b'"),
        ("--batch-size 4000", r"examples .*fewer than .* 2000"),
        ("--batch-size 36", r"\{'a': 18, 'b': 18\}: expected multiples .* 8"),
        ("--modalities.0.dataset no.csv", r"no such table: no\.csv"),
        ("--modalities.0.field no.npy", r"no such file: .*no\.npy"),
        ("--modalities.0.field elevation", r"no column 'elevation'; it has lon, lat"),
    ],
)
def test_bad_overrides_are_named_before_any_work(overrides, message, experiment, refused, tmp_path):
    target = tmp_path / "run"
    error = refused("train", experiment, "--run-dir", target, *overrides.split())
    assert re.search(message, error), error
    assert not target.exists()


def test_what_needs_no_data_is_checked_before_data_are_read(run, experiment, refused, tmp_path):
    missing = ("--modalities.0.dataset", "no.csv")
    error = refused("train", experiment, *missing, "--modalities.1.encoder", "tetx")
    assert "encoder = 'tetx': expected one of" in error
    error = refused("train", experiment, *missing, "--run-dir", run, "--steps", 3)
    assert "modalities.0.dataset: " in error
    (tmp_path / "thesis.tex").touch()
    error = refused("train", experiment, *missing, "--run-dir", tmp_path)
    assert f"{tmp_path} holds no run" in error


def test_one_of_a_file_s_experiments(experiment, refused, tmp_path, capsys):
    path = tmp_path / "several.py"
    named = "experiments = {'a': experiment, 'b': dataclasses.replace(experiment, name='b')}\n"
    path.write_text(f"import dataclasses\n{experiment.read_text()}{named}del experiment\n")
    one = ["train", f"{path}:b"]
    with pytest.raises(SystemExit) as caught:
        main([*one, "--help"])
    assert caught.value.code == 0
    assert f"earth-embed train {path}:b" in capsys.readouterr().out
    for steps in ("1", "1"):  # trained, then resumed
        main([*one, "--run-dir", str(tmp_path / "b"), "--steps", steps, "--method=salt"])
        assert "trained" in capsys.readouterr().out
    assert read_experiment(tmp_path / "b").method == Salt()
    error = refused(*one, "--run-dir", tmp_path / "b", "--steps", 1)
    assert "method.kind: 'Salt' → 'Melt'" in error
    assert "expected one of a, b" in refused("train", f"{path}:c")
    assert f"expected {path}:NAME with one of a, b" in refused("train", path)


def test_bad_experiment_files(refused, tmp_path):
    assert "train expects an experiment file first" in refused("train")
    assert "train expects an experiment file first" in refused("train", "--steps", 3)
    assert "no experiment file 'no.py'" in refused("train", "no.py")
    assert refused("train", "quikstart") == (
        "error: no experiment 'quikstart'; expected FILE.py, FILE.py:NAME, or one that comes with "
        "the package: quickstart\n"
    )
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module")
    assert "ModuleNotFoundError: No module named 'no_such_module'" in refused("train", broken)


def test_other_settings_for_a_run_are_refused(run, experiment, refused):
    before = contents(run)
    error = refused(
        "train", experiment, "--run-dir", run, "--steps", 3, "--location.encoding.degree", 7
    )
    assert "location.encoding.degree: 4 → 7" in error
    assert contents(run) == before


def test_a_run_goes_to_its_name_and_says_what_is_next(experiment, run, capsys, tmp_path):
    assert checkpoint_steps(run)[-1] == "3"
    main(["train", str(experiment), "--run-dir", str(run), "--steps", "3"])
    assert f"next: earth-embed evaluate {run}" in capsys.readouterr().out


def test_training_says_what_it_does_and_only_on_stderr(experiment, tmp_path, capsys):
    command = ["train", str(experiment), "--run-dir", str(tmp_path / "run"), "--steps"]
    said = []
    for steps in ("2", "2"):
        main([*command, steps])
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 1
        assert not {"\r", "\x1b"} & set(err)
        said.append([line.partition(" ")[2] for line in err.splitlines()])
    new, done = said
    ends = ["train: 0% 0/2", "train: 100% 2/2"]
    phases = [line for line in new if line.partition(" [")[0] not in ends]
    assert len(new) == len(phases) + len(ends)
    assert phases == [
        f"earth-embed train {experiment}: training an experiment",
        "importing the command",
        "importing Flax, Optax and Orbax",
        "starting JAX on its devices",
        "opening the data",
        "reading a into memory",
        "reading b into memory",
        "reading the validation examples",
        "initialising the parameters",
        "reading the first batch",
        "compiling the training step",
        "compiling the validation",
        "saving the last checkpoint",
        "drawing the curves",
    ]
    assert "restoring the last checkpoint" in done
    assert not [line for line in done if "initialising" in line or "compiling" in line]


def test_embed_adds_the_encoder_s_embeddings(run, tmp_path, rng, capsys):
    lonlat = random_places(rng, 20)
    table = pd.DataFrame({"name": [f"{i:02}" for i in range(20)], "lon": lonlat[:, 0]})
    table = table.assign(lat=lonlat[:, 1])
    table.to_csv(tmp_path / "places.csv", index=False)
    expected = load(run)(lonlat)
    for name in ("out.parquet", "out.csv"):
        main(["embed", str(run), str(tmp_path / "places.csv"), "-o", str(tmp_path / name)])
        assert f"wrote 20 rows to {tmp_path / name}" in capsys.readouterr().out
    found = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_allclose(np.stack(found["embedding"]), expected, rtol=1e-5, atol=1e-6)
    text = pd.read_csv(tmp_path / "out.csv", dtype={"name": str})
    assert list(text["name"]) == list(table["name"])
    columns = text[[f"e{i}" for i in range(8)]].to_numpy()
    np.testing.assert_allclose(columns, expected, rtol=1e-5, atol=1e-6)


def test_embed_counts_rows_without_a_place_and_reads_other_coordinates(run, tmp_path, capsys):
    table, output = tmp_path / "places.csv", tmp_path / "out.csv"
    table.write_text("name;x;y\n007;2600000;1200000\n008;;\n")
    options = ["--crs", "EPSG:2056", "--missing", "skip"]
    main(["embed", str(run), str(table), "-o", str(output), *options])
    shown = capsys.readouterr()
    assert "warning: " in shown.err
    assert "1 of 2 rows have no coordinate and are left out; the first is row 1\n" in shown.err
    assert shown.out == f"wrote 1 rows to {output}\n"
    found = pd.read_csv(output, dtype={"name": str})
    assert found.columns[0:3].tolist() == ["name", "x", "y"]
    assert found["name"].tolist() == ["007"]
    expected = load(run)([7.4386], [46.9511])
    np.testing.assert_allclose(found.filter(regex="^e").to_numpy(), expected, atol=1e-4)


def test_embeddings_and_maps_can_be_smoothed(run, tmp_path, rng, refused):
    lonlat = random_places(rng, 5)
    pd.DataFrame(lonlat, columns=["lon", "lat"]).to_csv(tmp_path / "p.csv", index=False)
    main(
        [
            "embed",
            str(run),
            str(tmp_path / "p.csv"),
            "-o",
            f"{tmp_path}/o.pq",
            "--smoothing-km",
            "900",
        ]
    )
    found = np.stack(pd.read_parquet(tmp_path / "o.pq")["embedding"])
    np.testing.assert_allclose(found, load(run).smoothed(900)(lonlat), rtol=1e-5, atol=1e-6)
    options = ["--resolution", "10", "--no-coastlines"]
    maps = [tmp_path / "sharp.png", tmp_path / "smooth.png"]
    main(["map", str(run), "-o", str(maps[0]), *options])
    main(["map", str(run), "-o", str(maps[1]), *options, "--smoothing-km", "3000"])
    assert maps[0].read_bytes() != maps[1].read_bytes()
    assert "finite number ≥ 0" in refused("map", run, "-o", maps[0], "--smoothing-km", -5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lon,lat\n8.5,47.4\n47.4,108.5\n", "row 1 .*lat=108.5.*swapped"),
        ("x,y\n1,2\n", "needs columns lon and lat .*it has x, y"),
        ("lon,lat\n1,\n", "must be finite numbers.*row 0"),
        ("lon,lat\n400,1\n", "lon must lie in .*lon=400"),
        ("lon,lat\n", "has no rows"),
        (None, "no such table"),
    ],
)
def test_embed_refuses_a_bad_table_in_one_line(content, message, run, refused, tmp_path):
    table, output = tmp_path / "places.csv", tmp_path / "out.csv"
    if content is not None:
        table.write_text(content)
    error = refused("embed", run, table, "-o", output)
    assert re.fullmatch(rf"error: .*{message}.*\n", error), error
    assert list(tmp_path.iterdir()) == [table][: content is not None]


def test_map(run, tmp_path, refused):
    for name, mode in (("map.png", "RGB"), ("map.tif", "RGB")):
        output = tmp_path / name
        main(["map", str(run), "-o", str(output), "--resolution", "5", "--no-coastlines"])
        with Image.open(output) as image:
            assert (image.size, image.mode) == ((72, 36), mode)
            assert len(set(image.get_flattened_data())) > 100
    before = sorted(tmp_path.iterdir())
    assert "written as .png or .tif or .tiff" in refused("map", run, "-o", tmp_path / "map.jpg")
    assert "No such file" in refused("map", run, "-o", tmp_path / "no" / "map.png")
    assert "divisor of 180" in refused("map", run, "-o", before[0], "--resolution", 7)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", [("evaluate",), ("embed", "t.csv"), ("map",)])
def test_a_missing_run(command, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, *rest = command
    output = [] if name == "evaluate" else ["-o", "o.png" if name == "map" else "o.csv"]
    assert refused(name, "nowhere", *rest, *output) == "error: no run directory 'nowhere'\n"
    (tmp_path / "thesis").mkdir()
    assert "thesis holds no run" in refused(name, "thesis", *rest, *output)


@pytest.mark.parametrize("arguments", [("embed",), ("map", "r"), ("embed", "r", "t", "-p", "x")])
def test_missing_and_unknown_options(arguments, refused):
    assert re.search(r"Missing|Unrecognized|required", refused(*arguments))


@pytest.mark.parametrize("loader", ["python", "tf.data"])
def test_an_unreadable_image_found_while_training(loader, refused, tmp_path, rng):
    """The error of a worker is the user's error, not a page of the loader's."""
    lonlat = random_places(rng, 120)
    names = [f"{i}.png" for i in range(120)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / name)
    places = pd.DataFrame({"lon": lonlat[:, 0], "lat": lonlat[:, 1], "file": names})
    table = tmp_path / "photos.csv"
    places.to_csv(table, index=False)
    # Read only while training: row 0 gives the size, and the held-out rows are read at the start.
    cut = tmp_path / names[open_table(table, "file", "train", 8).rows[-1]]
    cut.write_bytes(cut.read_bytes()[:90])
    experiment = tmp_path / "photos.py"
    experiment.write_text(
        "from earth_embed.config import *\n"
        f"photos = Modality('photos', {str(table)!r}, 'file', 'image', width=8, depth=1)\n"
        "experiment = Experiment('photos', (photos,), Pair(), steps=30, batch_size=16,\n"
        "    location=LocationConfig(SphericalHarmonics(4), Siren((8,)), features=8),\n"
        "    input=Input(in_memory=False), checkpoints=Checkpoints(validation_examples=4))\n"
    )
    error = refused("train", experiment, "--run-dir", tmp_path / "run", "--input.loader", loader)
    assert re.search(rf"error: {table}: the image '{cut.name}' of row \d+ cannot be read", error)


def test_tasks_of_one_s_own_are_parsed_before_any_work(monkeypatch, refused):
    from earth_embed.evaluation import run

    asked = {}
    monkeypatch.setattr(run, "evaluate_run", lambda folder, **options: asked.update(options))
    own = ["--task", "rain=a.csv:meanP:log", "--task", "zone=k.png:class"]
    cli.main(["evaluate", "r", *own, "--tasks", "--block-degrees", "2", "40", "--r2-floor", "-1"])
    assert [(task.name, task.field, task.form) for task in asked["own_tasks"]] == [
        ("rain", "meanP", "log"),
        ("zone", "1", "class"),
    ]
    settings = asked["settings"]
    assert (settings.tasks, settings.block_degrees, settings.r2_floor) == ((), (2.0, 40.0), -1.0)
    assert "task 'rain': expected NAME=RASTER" in refused("evaluate", "r", "--task", "rain")
