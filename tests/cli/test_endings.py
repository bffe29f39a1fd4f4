"""How commands end: hostile arguments, signals, and streams or locales that cannot be written."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from earth_embed.cli import main
from earth_embed.data.tfds import open_tfds
from earth_embed.errors import EarthEmbedError
from earth_embed.training.choice import steps_in
from tests.cli.conftest import SAID
from tests.fuzzing import fuzz
from tests.killing import events_below, tree
from tests.training.runs import checkpoint_steps, start, write_experiment

# protobuf and ml_dtypes warn from within TensorFlow's own import
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:tensorflow.*")


def test_an_interrupt_anywhere_is_status_130(monkeypatch, refused):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("earth_embed.cli.evaluate.evaluate", interrupted)
    assert refused("evaluate", "run", status=130) == "interrupted\n"


def test_real_processes(tmp_path):
    """Exit status and output as a shell sees them; Ctrl-C saves the run."""
    unknown = start("train", "no.py")
    out, err = unknown.communicate()
    assert (unknown.returncode, out) == (2, "")
    assert re.sub(SAID, "", err) == "error: no experiment file 'no.py'; expected a Python file\n"

    # So many steps that none but the signal ends it.
    path, run = write_experiment(tmp_path, steps="1000000"), tmp_path / "run"
    process = start("train", path, "--run-dir", run)
    while process.poll() is None and not steps_in(run / "checkpoints"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    stopped = re.search(r"stopped at step (\d+) of 1000000; the state is saved in (.*): ", err)
    assert stopped[2] == str(run)
    assert stopped[1] in checkpoint_steps(run)
    assert "Traceback" not in err


RUN, EXPERIMENT = "the run", "the experiment"
OPTIONS = {
    "train": "--run-dir --data-dir --steps --seed --batch-size --method --name --coordinator "
    "--processes --process --modalities.0.dataset --modalities.1.field --location.features",
    "evaluate": "--also --task --split --which --labels --data-dir --seeds --block-degrees",
    "diagnose": "--data-dir --examples",
    "embed": "-o --output --which --smoothing-km",
    "map": "-o --resolution --which --smoothing-km --land-only",
    "import": "--run-dir",
    "features": "--field -o --split --tokenizer --batch-size --views --coordinator --process",
    "prepare": "--source --data-dir --verify --image-size --workers --cap --rows-per-file",
}
NUMBERS = ["nan", "inf", "-1", "0", "1", "1e300", "1e-320", "0.0001", "9" * 30]
NAMES = ["", "-", ".", "..", "/", "afile", "afile/x", "none/x", "x" * 300, "x" * 5000, "d/" * 2000]
NAMES += [
    "t.csv",
    "t.parquet",
    "o.csv",
    "o.parquet",
    "m.png",
    "m.tif",
    "é·×",
    "%s{}",
    "/proc/o.csv",
]
WORDS = [*NUMBERS, *NAMES, RUN, RUN, EXPERIMENT, EXPERIMENT, "\udcff", "--", "--help", "-o", "="]
WORDS += ["satclip", "minilm_l6", "s2_100k", "salt", "a=t.csv:x", "a=afile:class"]


@st.composite
def command_lines(draw):
    """A command with arguments of which at least one is likely to make no sense."""
    name = draw(st.sampled_from([*OPTIONS]))
    first = {"train": [EXPERIMENT], "import": ["satclip"], "features": [], "prepare": []}
    words = draw(st.sampled_from([first.get(name, [RUN]), []]))
    words = words + draw(st.lists(st.sampled_from(WORDS), max_size=2))
    option = st.tuples(st.sampled_from(OPTIONS[name].split()), st.sampled_from(WORDS))
    for pair in draw(st.lists(option, max_size=3)):
        words += pair
    return [name, *words]


@fuzz(80, line=command_lines())
def test_any_command_line_ends_well_or_in_one_error(
    line, run, experiment, folder, monkeypatch, capsys
):
    """Commands run until the work that takes long would start."""

    def enough(*args, **options):
        raise EarthEmbedError("enough")

    def no_cluster(*args, **options):
        raise ValueError("no cluster")

    monkeypatch.chdir(folder)
    Path("afile").write_text("x")
    Path("t.csv").write_text("lon,lat,x\n1,2,3\n")
    for module, function in (
        ("training.loop", "locked"),
        ("evaluation.run", "load_labels"),
        ("diagnosis.run", "open_sources"),
        ("serving.map", "_paint"),
    ):
        monkeypatch.setattr(f"earth_embed.{module}.{function}", enough)
    monkeypatch.setattr(jax.distributed, "initialize", no_cluster)
    stand_for = {RUN: str(run), EXPERIMENT: str(experiment)}
    try:
        main([stand_for.get(word, word) for word in line])
        status = 0
    except SystemExit as ended:
        status = ended.code or 0
    out, err = capsys.readouterr()
    assert status in (0, 2)
    assert err if status else "Traceback" not in out
    assert "Traceback" not in err


NOT_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


FULL = "error: cannot write to standard output: No space left on device"


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("{} --help | true; exit ${{PIPESTATUS[0]}}", 141, ""),
        ("{} trian 2>&1 | true; exit ${{PIPESTATUS[0]}}", 141, ""),
        ("PYTHONUNBUFFERED= {} --help > /dev/full", 2, FULL),
        ("PYTHONUNBUFFERED=1 {} --help > /dev/full", 2, FULL),
        ("{} trian 2> /dev/full", 2, ""),
        ("{} --help > /dev/full 2>&1", 2, ""),
        ("{} --version >&-", 0, ""),
    ],
)
def test_standard_streams_that_fail(line, status, message):
    command = ["bash", "-c", line.format(f"{sys.executable} -m earth_embed")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (status, message)


def test_a_locale_without_utf_8(tmp_path, run):
    def ends(*arguments):
        command = [sys.executable, "-m", "earth_embed", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | NOT_UTF8)
        return done.returncode, re.sub(SAID, "", done.stderr)

    status, error = ends("map", run, "-o", tmp_path / "m.png", "--resolution", "7")
    assert status == 2
    assert error == r"error: resolution = 7.0\xb0: expected a divisor of 180\xb0, such as 0.5" "\n"
    status, error = ends("train", "quickstart", "--run-dir", tmp_path / "é")
    assert status == 2
    assert re.search(r"error: '.*udcc3.*' is not a name in this process's encoding, ascii: ", error)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("command", "name", "status"), [("embed", "SIGTERM", 143), ("prepare", "SIGKILL", -9)]
)
def test_a_signal_in_the_midst_and_then_the_same_again(command, name, status, run, tmp_path):
    """A real signal, at an event of the file system that is drawn at random."""
    folder = tmp_path / "out"
    folder.mkdir()
    if command == "embed":
        table = tmp_path / "places.csv"
        table.write_text("lon,lat\n8.5,47.4\n-70.7,-33.5\n")
        arguments, first = ["embed", run, table, "-o", folder / "places.csv"], 4
        last = events_below(folder, lambda: main([*map(str, arguments)]))
        whole = tree(folder)
        shutil.rmtree(folder)
        folder.mkdir()
    else:
        pytest.importorskip("tensorflow_datasets")
        arguments, first, last = ["prepare", "toponyms/tiny", "--data-dir", folder], 8, 25
    moment = np.random.default_rng().integers(first, last)
    print(f"event {moment} of {last}")
    killing = [sys.executable, "-m", "tests.killing", name, folder, moment, *arguments]
    done = subprocess.run([*map(str, killing)], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    left = {path.name for path in folder.rglob(".*")} - {".lock", ".config"}
    if name == "SIGTERM":
        assert done.stderr.endswith("terminated\n")
        assert "Traceback" not in done.stderr
        assert not left
    main([*map(str, arguments)])
    assert {path.name for path in folder.rglob(".*")} <= {".lock", ".config"}
    if command == "embed":
        assert tree(folder) == whole
    else:
        assert len(open_tfds("toponyms/tiny", "text", "train", folder, 8)) > 1000
