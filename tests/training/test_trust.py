"""Whatever damages a run: the right numbers, older ones with a warning, or one error."""

import json
import shutil
import warnings

import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from earth_embed.cells import HOLDOUT
from earth_embed.cli import main
from earth_embed.config.files import to_json
from earth_embed.errors import EarthEmbedError, FaultWarning, RunError
from earth_embed.pretrained.encoder import load
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.records import draw_curves, read_metrics
from earth_embed.training.run_dir import read_experiment, read_origin
from tests.conftest import random_places
from tests.damage import damage_to, damages, do_damage
from tests.fuzzing import fuzz
from tests.training.runs import SMALL, state_like


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def embed(finished):
    """Embeds fixed places with any parameters of the run's encoder, compiled once."""
    encoder, places = load(finished), random_places(np.random.default_rng(0), 8).astype(np.float32)
    return lambda params: np.asarray(encoder._apply(params, places))


@pytest.fixture(scope="module")
def states(sources, finished):
    """The true states of steps 2 and 4, without warnings."""
    like = state_like(SMALL, sources)
    older = shutil.copytree(finished, finished.with_name("older"))
    shutil.rmtree(older / "checkpoints" / "4")
    (older / "checkpoints.sha256" / "4.json").unlink()
    restored = [Checkpointer(run).restore_state(like) for run in (older, finished)]
    return {int(state.step): state for state in restored}


def outcome(restore):
    """What was restored, or None after one error in plain words; and whether there was a warning.

    Raises:
        Exception: any other than an EarthEmbedError.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            restored = restore()
        except EarthEmbedError:
            return None, True
    assert {warning.category for warning in caught} <= {FaultWarning}
    return restored, bool(caught)


# TensorStore finds most damage of a checkpoint itself, but none of these.
DECISIVE = ("checkpoints.sha256/4.json", "run.json")
OTHER_NUMBERS = st.tuples(damage_to(st.just(3), ["digit"]), damage_to(st.just(1)))
"""Other settings in run.json, and any damage of the manifest that would tell."""


@fuzz(80, damage=damages() | OTHER_NUMBERS)
def test_a_damaged_run_never_gives_other_embeddings(damage, finished, copies, states, embed):
    run = shutil.copytree(finished, copies / "run", dirs_exist_ok=True)
    try:
        done = do_damage(run, damage, DECISIVE)
        encoder, told = outcome(lambda: load(run, "last" if damage[0][2] % 2 else "best"))
    finally:
        shutil.rmtree(run)
    if encoder is None:
        return
    assert encoder.experiment == SMALL, done
    found = embed(encoder._params)
    steps = [
        step
        for step, state in states.items()
        if np.array_equal(found, embed(jax.device_get(state.params["location"])))
    ]
    assert 4 in steps or (told and steps), done


NESTED = "[" * 100_000 + "]" * 100_000

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2000),
    st.sampled_from([2**31, 2**64, 10**30, 10**400, -(10**400), 1e-300, 1e308]),
    st.floats(),  # NaN and infinities as Python writes them, which is no JSON
    st.text(max_size=8),
    st.lists(st.integers(0, 99), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.just("x" * 5000),
)


@st.composite
def run_files(draw, record):
    """The text of a run.json that someone changed in one to three places."""
    record = json.loads(json.dumps(record))
    for _ in range(draw(st.integers(1, 3))):
        at, steps = record, draw(st.integers(0, 4))
        for _ in range(steps):
            inner = at[draw(st.sampled_from(sorted(at, key=str)))] if at else None
            at = inner if isinstance(inner, dict) and inner else at
            at = at[0] if isinstance(at, list) and at and isinstance(at[0], dict) else at
        name = draw(st.sampled_from([*sorted(at), "imported", "degree", "kind", "parts", ""]))
        kind = draw(st.sampled_from(["replace", "delete", "wrap", "copy"]))
        if kind == "replace":
            at[name] = draw(VALUES)
        elif kind == "delete":
            at.pop(name, None)
        elif kind == "wrap":
            at[name] = [at.get(name)] * draw(st.integers(0, 2))
        else:
            at[name] = json.loads(json.dumps(draw(st.sampled_from([at, record]))))
    text = json.dumps(record)
    kind = draw(st.sampled_from(["", "", "", "twice", "nested", "cut", "bytes"]))
    if kind == "twice":
        text = text.replace('"seed":', '"seed": 3, "seed":')
    if kind == "nested":
        text = text.replace("8", NESTED, 1)
    if kind == "cut":
        text = text[: draw(st.integers(0, len(text)))]
    return text.encode() + (b"\xff" if kind == "bytes" else b"")


def contains(whole, part):
    """Whether JSON values hold all of these values, and defaults where these are silent."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(contains(whole.get(k), v) for k, v in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


@fuzz(300, data=st.data())
def test_any_run_file_is_read_as_it_stands_or_is_one_error(data, copies):
    run = copies / "written"
    run.mkdir(exist_ok=True)
    text = data.draw(run_files({"experiment": to_json(SMALL), "holdout": HOLDOUT, "versions": {}}))
    (run / "run.json").write_bytes(text)
    try:
        experiment, imported = read_experiment(run), read_origin(run)
    except RunError as error:
        assert len(str(error)) < 2000  # noqa: PT017 (one short message)
        return
    record = json.loads(text)
    assert imported == record.get("imported", {})
    assert contains(to_json(experiment), record["experiment"])


@fuzz(30, data=st.data())
def test_any_run_file_with_weights_is_loaded_unverified_or_is_one_error(data, finished, copies):
    run = copies / "foreign"
    if not run.exists():
        shutil.copytree(finished, run)
    text = data.draw(run_files(json.loads((finished / "run.json").read_text())))
    (run / "run.json").write_bytes(text)
    encoder, told = outcome(lambda: load(run, unverified=True))
    assert told
    assert encoder is None or encoder.experiment == read_experiment(run)
    assert outcome(lambda: load(run))[0] is None


LINES = [b'{"step": 1, "loss": 2.5}', b'{"step": 3, "loss": 2.0}']


@pytest.mark.parametrize(
    "line",
    [b"", b"[1]", b'{"loss": 1.0}', b'{"step": "2"}', b'{"step": 2, "loss": [1]}', b"\xff", b'{"s'],
)
def test_a_damaged_line_of_metrics_is_left_out(line, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([LINES[0], line, LINES[1]]))
    assert read_metrics(tmp_path) == [json.loads(line) for line in LINES]
    draw_curves(tmp_path)


def test_the_command_needs_unverified_and_then_warns(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(run / "checkpoints.sha256")
    (tmp_path / "places.csv").write_text("lon,lat\n8.5,47.4\n")
    command = ["embed", str(run), str(tmp_path / "places.csv"), "-o", str(tmp_path / "out.csv")]
    with pytest.raises(SystemExit, match="2"):
        main(command)
    said = capsys.readouterr().err.splitlines()
    assert said[-3].startswith("  checkpoint 4 cannot be verified: checkpoints.sha256/4.json: ")
    assert said[-1].startswith("--unverified (in Python, unverified=True) uses the newest checkpoi")
    assert not (tmp_path / "out.csv").exists()
    main([*command, "--unverified"])
    assert "warning: checkpoint 4 cannot be verified" in capsys.readouterr().err
    found = np.loadtxt(tmp_path / "out.csv", delimiter=",", skiprows=1)[2:]
    np.testing.assert_allclose(found, load(finished)(8.5, 47.4)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("command", ["embed", "map", "evaluate", "diagnose", "train quickstart"])
def test_every_command_that_reads_weights_has_the_option(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    assert "--unverified" in capsys.readouterr().out
