"""A trained encoder in use: what was trained, of any spelling and number of places."""

import copy
import dataclasses
import io
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import earth_embed
from earth_embed.config import (
    Cartesian,
    Checkpoints,
    Combined,
    Concatenation,
    Linear,
    LocationConfig,
    Wrap,
)
from earth_embed.encoders.location import init_location
from earth_embed.errors import (
    CheckpointError,
    ConfigError,
    CoordinateError,
    FaultWarning,
    RunError,
)
from earth_embed.pretrained.encoder import LocationEncoder, load, untrained
from earth_embed.step.towers import Towers
from earth_embed.training import loop
from earth_embed.training.run_dir import open_run
from tests.conftest import random_places
from tests.training.runs import SMALL, contents

EXPERIMENT = dataclasses.replace(
    SMALL, steps=6, checkpoints=Checkpoints(save_every=2, keep=1, validate_every=2, log_every=1)
)


@pytest.fixture(scope="module")
def trained(sources, tmp_path_factory):
    """A run whose best checkpoint is not its last, and the states that were saved, by step."""
    states, scores = {}, {2: 0.1, 4: 0.9, 6: 0.2}

    class Noting(loop.Checkpointer):
        def save(self, state, score):
            step = int(state.step)
            states[step] = jax.device_get(state)
            super().save(state, scores[step])

    run = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "Checkpointer", Noting)
        loop.train(EXPERIMENT, run, sources)
    return run, states


@pytest.fixture(scope="module")
def encoder(trained):
    return load(trained[0])


@pytest.fixture(scope="module")
def places():
    return random_places(np.random.default_rng(3), 50)


def close(a, b):
    """Equal but for the order of sums, which may change with the shape of a batch."""
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("which", "step"), [("last", 6), ("best", 4)])
def test_the_encoder_is_the_checkpoint_s(which, step, trained, places):
    run, states = trained
    towers = Towers(EXPERIMENT)
    apply = jax.jit(towers.encode_location)
    found = load(run, which)(places)
    close(found, apply(states[step].params, places.astype(np.float32)))
    assert np.abs(found - apply(states[2].params, places.astype(np.float32))).max() > 1e-4
    assert found.dtype == np.float32
    assert found.shape == (50, 8)


def test_loading_touches_nothing_and_says_nothing(trained, caplog, capfd):
    run, _ = trained
    before = contents(run)
    load(str(run))(0.0, 0.0)
    untrained(run)
    assert contents(run) == before
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_untrained_is_where_the_run_started(trained, places):
    run, _ = trained
    towers = Towers(EXPERIMENT)
    start = jax.jit(lambda: towers.init({"series": jax.ShapeDtypeStruct((1, 12), np.float32)}))()
    expected = jax.jit(towers.encode_location)(start, places.astype(np.float32))
    close(untrained(run)(places), expected)
    assert np.abs(untrained(run)(places) - load(run)(places)).max() > 1e-4


def test_a_run_saved_when_there_was_one_encoder_is_loaded(trained, encoder, places, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained[0], copy)
    record = json.loads((copy / "run.json").read_text())
    record["experiment"]["location"] = {
        "degree": 4,
        "hidden": [16, 16],
        "features": 8,
        "w0_first": 30.0,
        "w0_hidden": 1.0,
        "dropout": 0.0,
    }
    (copy / "run.json").write_text(json.dumps(record))
    with pytest.warns(FaultWarning, match=r"is damaged: run\.json"):
        again = load(copy, unverified=True)
    assert again.experiment == EXPERIMENT
    np.testing.assert_array_equal(again(places), encoder(places))
    open_run(copy, EXPERIMENT)  # the run can be resumed


def test_smoothing_is_a_dial(encoder, places):
    np.testing.assert_array_equal(encoder.smoothed(0)(places), encoder(places))
    twice = encoder.smoothed(300).smoothed(400)(places)
    close(twice, encoder.smoothed(500)(places))
    steps = [encoder.smoothed(km)(places).std(axis=0).sum() for km in (0, 1000, 2000, 4000, 1e6)]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] < 1e-4 * steps[0]  # nothing but Y_00 is left
    assert encoder.smoothed(500).experiment == EXPERIMENT
    for km in (-1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="expected a finite number ≥ 0"):
            encoder.smoothed(km)
    location = LocationConfig(Concatenation((Wrap(), Cartesian())), Linear(), 8)
    plain = LocationEncoder(dataclasses.replace(EXPERIMENT, location=location), {})
    message = r"acts on spherical harmonics.*'small' has none: \(Wrap, Cartesian\) → Linear"
    with pytest.raises(ConfigError, match=message):
        plain.smoothed(100)


def test_every_spelling_of_a_place(encoder, places):
    expected = encoder(places)
    lon, lat = places.T
    np.testing.assert_array_equal(encoder(lon, lat), expected)
    np.testing.assert_array_equal(encoder(lon=list(lon), lat=list(lat)), expected)
    np.testing.assert_array_equal(encoder(places.tolist()), expected)
    one = encoder(float(lon[0]), float(lat[0]))
    assert one.shape == (1, 8)
    close(one[0], expected[0])
    close(encoder(lon % 360, lat), expected)


def test_one_place_has_one_embedding(encoder):
    """The seam and the poles: every longitude of a pole is one place."""
    seam = encoder([-180.0, 180.0], [12.0, 12.0])
    np.testing.assert_allclose(seam[0], seam[1], atol=1e-4)
    poles = encoder([0.0, 77.0, -150.0], [90.0, 90.0, 90.0])
    np.testing.assert_allclose(poles - poles[0], 0, atol=1e-4)


@pytest.mark.parametrize("empty", [np.empty((0, 2)), np.empty((0, 2), np.float32)])
def test_no_places(encoder, empty):
    for found in (encoder(empty), encoder([], [])):
        assert found.shape == (0, 8)
        assert found.dtype == np.float32


@settings(max_examples=25)
@given(
    st.integers(0, 40).flatmap(
        lambda n: arrays(np.float64, (n, 2), elements=st.floats(-90, 90, width=32))
    ),
    st.integers(1, 16),
)
def test_batch_size_changes_nothing(trained, encoder, places, batch_size):
    small = LocationEncoder(EXPERIMENT, encoder._params, batch_size)
    close(small(places), encoder(places))
    if len(places):
        close(encoder(places[:1]), encoder(places)[:1])


@pytest.mark.parametrize(
    ("lon", "lat", "message"),
    [
        ([47.4, 10.0], [108.5, 20.0], "row 0 .*lat=108.5.*are lon and lat swapped"),
        ([float("nan")], [0.0], "must be finite"),
        ([500.0], [0.0], "lon must lie in"),
        ([1.0, 2.0], [1.0], "must have one shape"),
        ([[1.0, 2.0, 3.0]], None, r"expected an \(N, 2\) array .* found shape \(1, 3\)"),
        (["here"], ["there"], "must be numbers in degrees"),
    ],
)
def test_bad_coordinates(encoder, lon, lat, message):
    with pytest.raises(CoordinateError, match=message):
        encoder(lon, lat)


def test_what_cannot_be_loaded(trained, tmp_path):
    run, _ = trained
    with pytest.raises(ConfigError, match='which = \'newest\': expected "last" or "best"'):
        load(run, "newest")
    with pytest.raises(RunError, match="no run directory"):
        load(tmp_path / "nowhere")
    with pytest.raises(RunError, match="holds no run"):
        load(tmp_path)
    open_run(tmp_path / "new", EXPERIMENT)
    with pytest.raises(CheckpointError, match="has the run been trained"):
        load(tmp_path / "new")


def test_the_package_says_what_an_encoder_is(trained, encoder):
    assert earth_embed.load is load
    assert {*earth_embed.__all__} <= {*dir(earth_embed)}
    assert repr(encoder) == "LocationEncoder('small', dim=8, SphericalHarmonics → Siren)"
    assert encoder.experiment == EXPERIMENT


def test_a_pickle_is_plain_values(encoder, places):
    """It names no code but what rebuilds the encoder and its arrays, and keeps the settings."""
    smooth = LocationEncoder(EXPERIMENT, encoder._params, batch_size=16).smoothed(300)
    pickled, named = pickle.dumps(smooth), set()

    class Noting(pickle.Unpickler):
        def find_class(self, module, name):
            named.add((module.partition(".")[0], name))
            return super().find_class(module, name)

    params = Noting(io.BytesIO(pickled)).load()._params
    assert all(isinstance(array, np.ndarray) for array in jax.tree.leaves(params))
    assert {name for package, name in named if package != "numpy"} == {"_unpickle"}
    for again in (pickle.loads(pickled), copy.copy(smooth), copy.deepcopy(smooth)):
        assert again is not smooth
        assert again.experiment == EXPERIMENT
        assert again._batch_size == 16
        np.testing.assert_array_equal(again(places), smooth(places))
        np.testing.assert_array_equal(again.smoothed(400)(places), smooth.smoothed(400)(places))
        assert repr(again) == repr(smooth)


def test_an_encoder_of_several_parts_is_pickled(places):
    parts = (LocationConfig(Wrap(), Linear(), 3), LocationConfig(Cartesian(), Linear(), 4))
    experiment = dataclasses.replace(EXPERIMENT, location=Combined(parts, "concatenation"))
    encoder = LocationEncoder(experiment, init_location(experiment.location, 5))
    again = pickle.loads(pickle.dumps(encoder))
    assert again.experiment == experiment
    np.testing.assert_array_equal(again(places), encoder(places))


def test_other_processes_compute_the_same(encoder, places):
    """Processes that start anew, with one device rather than this one's eight."""
    loky = pytest.importorskip("joblib.externals.loky")
    expected = encoder(places)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        close(pool.apply(encoder, (places,)), expected)
    with loky.ProcessPoolExecutor(max_workers=1) as pool:
        close(pool.submit(encoder, places).result(), expected)


FORKS = """
import json, os, pickle, signal, sys, warnings
import earth_embed

warnings.simplefilter("ignore")  # of JAX and Python, at the fork
run, pickled = sys.argv[1], sys.stdin.buffer.read()
encoder = pickle.loads(pickled)
places = [[8.5, 47.4], [-70.7, -33.5]]

def in_a_fork(*uses):
    read, write = os.pipe()
    if child := os.fork():
        os.close(write)
        found = os.fdopen(read).read()  # ends with the child
        os.waitpid(child, 0)
        return found.replace(str(child), "CHILD").replace(str(os.getpid()), "PARENT")
    signal.alarm(60)  # a child that hangs ends without a word
    found = []
    for use in uses:
        try:
            found.append(use(places).tolist())
        except earth_embed.errors.EarthEmbedError as error:
            found.append(str(error))
    os.write(write, json.dumps(found).encode())
    os._exit(0)

print(in_a_fork(encoder))
print(json.dumps([encoder(places).tolist()]))
print(in_a_fork(encoder, pickle.loads(pickled), lambda places: earth_embed.load(run)(places)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix forks")
def test_a_fork_computes_or_is_refused_at_once(encoder, trained):
    """It can use an encoder if its parent did not."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS, trained[0]], input=pickle.dumps(encoder), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    before, parent, after = map(json.loads, done.stdout.splitlines())
    close(before[0], encoder([[8.5, 47.4], [-70.7, -33.5]]))
    assert before == parent
    assert len(after) == 3
    for message in after:
        assert message.startswith("process CHILD is a fork of process PARENT, which has used JAX")
        assert 'get_context("spawn")' in message


def test_threads_share_an_encoder(encoder, places):
    """Their first calls, on unlike numbers of places, compute what one thread computes."""
    parts = [places[: 5 * number + 3] for number in range(8)]
    expected = [encoder(part) for part in parts]
    again = pickle.loads(pickle.dumps(encoder))
    ready = threading.Barrier(8)

    def embed(part):
        ready.wait(60)
        return [again(part) for _ in range(10)]

    with ThreadPoolExecutor(8) as pool:
        for found, each in zip(pool.map(embed, parts), expected, strict=True):
            for one in found:
                np.testing.assert_array_equal(one, each)
