"""Checkpoints: damage is told and never read as numbers, and a failed save harms nothing."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earth_embed.config import LocationConfig, Siren, SphericalHarmonics
from earth_embed.errors import CheckpointError
from earth_embed.pretrained import load
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.loop import train
from tests.training.runs import (
    SMALL,
    checkpoint_steps,
    contents,
    start,
    state_like,
    write_experiment,
)


@pytest.fixture(scope="module")
def like(sources):
    return state_like(SMALL, sources)


@pytest.fixture(scope="module")
def finished(sources, tmp_path_factory):
    """A run with checkpoints of steps 2 and 4."""
    run = tmp_path_factory.mktemp("finished") / "run"
    train(SMALL, run, sources)
    assert checkpoint_steps(run) == ["2", "4"]
    return run


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path):
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


@pytest.mark.parametrize("damage", [truncate, garble, lambda path: path.unlink()])
def test_a_damaged_checkpoint_is_named_and_nothing_is_deleted(damage, sources, run, like):
    newest = run / "checkpoints" / "4"
    for item in ("state", "location"):
        for path in sorted((newest / item).rglob("*")):
            if path.is_file():
                damage(path)
    before = contents(run)
    for restore in (
        lambda: Checkpointer(run).restore_state(like),
        lambda: train(SMALL, run, sources),
        lambda: load(run),
    ):
        with pytest.raises(CheckpointError) as caught:
            restore()
        assert f"cannot restore checkpoint {newest}: " in str(caught.value)
        assert "move that folder away" in str(caught.value)
    assert contents(run) == before
    newest.rename(run / "damaged")  # the advice that the message gives
    assert int(Checkpointer(run).restore_state(like).step) == 2
    assert int(train(SMALL, run, sources).step) == 4


def test_damaged_scores_are_an_error_too(run, like):
    (run / "checkpoints" / "4" / "metrics" / "metrics").write_text("{")
    with pytest.raises(CheckpointError, match=r"cannot open .*checkpoints"):
        Checkpointer(run)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_changed_byte_is_found_or_without_effect(data, finished, tmp_path_factory):
    """Every array is stored with a checksum, so that no number is ever read wrong."""
    expected = jax.tree.leaves(load(finished)._params)
    run = shutil.copytree(finished, tmp_path_factory.mktemp("changed") / "run")
    item = run / "checkpoints" / "4" / "location"
    files = [path for path in sorted(item.rglob("*")) if path.is_file() and path.stat().st_size]
    path = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = jax.tree.leaves(load(run)._params)
    except CheckpointError:
        return
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_checkpoint(run, like, tmp_path):
    shutil.rmtree(run / "checkpoints")
    for empty in (run, tmp_path):
        before = contents(tmp_path), sorted(tmp_path.rglob("*"))
        with pytest.raises(CheckpointError, match=r"no checkpoint in .*: has the run been trained"):
            Checkpointer(empty).restore_state(like)
        assert (contents(tmp_path), sorted(tmp_path.rglob("*"))) == before
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        load(run, "best")


@pytest.mark.parametrize("hidden", [(16, 12), (16, 24), (16, 16, 16), (16,)])
def test_another_architecture_is_refused_not_cut_or_padded(hidden, run, sources):
    location = LocationConfig(SphericalHarmonics(4), Siren(hidden), features=8)
    other = state_like(dataclasses.replace(SMALL, location=location), sources)
    with pytest.raises(CheckpointError, match=r"shape|structure"):
        Checkpointer(run).restore_state(other)


def test_a_full_disk_is_one_error_and_harms_nothing(tmp_path):
    """A limit on the size of files stands in for the disk: writes fail as on a full one."""
    wide = "LocationConfig(SphericalHarmonics(8), Siren((128, 128)), features=64)"
    path = write_experiment(tmp_path, location=wide, steps="12")
    run = tmp_path / "run"
    whole = start("train", path, "--run-dir", run)
    _, errors = whole.communicate()
    assert whole.returncode == 0, errors
    shutil.rmtree(run / "checkpoints" / "12")
    kept = contents(run / "checkpoints")
    assert kept

    limited = start("train", path, "--run-dir", run, prefix=("sh", "-c", 'ulimit -f 80; exec "$@"'))
    _, errors = limited.communicate()
    assert limited.returncode == 2, errors
    message = errors[errors.index("error: ") :]
    assert message.startswith(f"error: cannot save a checkpoint in {run}/checkpoints: ")
    assert message.endswith("The checkpoints saved before it are untouched.\n")
    assert len(message.splitlines()) == 2
    assert "Traceback" not in errors
    left = contents(run / "checkpoints")
    assert {path: left[path] for path in kept} == kept
    assert load(run).dim == 64
