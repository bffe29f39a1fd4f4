"""Checkpoints: damage is told and never read as numbers, and a failed save harms nothing."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil

import jax
import numpy as np
import pytest

from earth_embed.config import LocationConfig, Siren, SphericalHarmonics
from earth_embed.errors import CheckpointError, FaultWarning
from earth_embed.files import write_text
from earth_embed.pretrained.encoder import load
from earth_embed.training import choice, loop
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.choice import BEGUN, SCORE, Choice, begin_manifest, choose, write_manifest
from earth_embed.training.loop import train
from tests.training.runs import (
    SMALL,
    assert_same_state,
    checkpoint_steps,
    contents,
    manifests,
    metrics,
    start,
    state_like,
    write_experiment,
)


@pytest.fixture(scope="module")
def like(sources):
    return state_like(SMALL, sources)


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path):
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


def flip(path):
    """Changes one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def largest(folder):
    return max(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )


def same_params(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def encoders(finished, tmp_path_factory):
    """The parameters of both checkpoints, by step."""
    older = shutil.copytree(finished, tmp_path_factory.mktemp("older") / "run")
    shutil.rmtree(older / "checkpoints" / "4")
    (older / "checkpoints.sha256" / "4.json").unlink()
    return {4: load(finished)._params, 2: load(older)._params}


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (truncate, r"expected \d+ bytes, found \d+"),
        (flip, r"expected sha256 \w{16}…, found \w{16}…"),
        (garble, r"expected sha256 \w{16}…, found \w{16}…"),
        (lambda path: path.unlink(), r"expected \d+ bytes, found no file"),
    ],
)
def test_the_newest_good_checkpoint_is_used(damage, what, sources, run, encoders):
    damage(largest(run / "checkpoints" / "4" / "location"))
    damage(largest(run / "checkpoints" / "4" / "state"))
    message = rf"^checkpoint 4 is damaged: %s/\S+: {what}; using checkpoint 2, 2 steps earlier$"
    before = contents(run)
    for which in ("last", "best"):
        with pytest.warns(FaultWarning, match=message % "location"):
            same_params(load(run, which)._params, encoders[2])
    assert contents(run) == before  # reading changes nothing

    damaged = contents(run / "checkpoints" / "4")
    with pytest.warns(FaultWarning, match=message % r"(location|state)"):
        state = train(SMALL, run, sources)
    assert int(state.step) == 4
    assert checkpoint_steps(run) == ["2", "4", "4.damaged"]
    assert contents(run / "checkpoints" / "4.damaged") == damaged
    assert manifests(run) == ["2.json", "4.json"]
    same_params(load(run)._params, encoders[4])  # the same numbers again, and no warning


def test_a_folder_moved_aside_replaces_no_other(sources, run):
    for names in (["4.damaged"], ["4.damaged", "4.damaged2"]):
        flip(largest(run / "checkpoints" / "4" / "state"))
        with pytest.warns(FaultWarning, match="checkpoint 4 is damaged: state/"):
            train(SMALL, run, sources)
        assert checkpoint_steps(run) == ["2", "4", *names]


def test_an_older_damaged_checkpoint_is_told_when_training_goes_on(sources, run):
    flip(largest(run / "checkpoints" / "2" / "state"))
    with pytest.warns(FaultWarning, match=r"checkpoint 2 is damaged: .* 4, 2 steps later"):
        train(SMALL, run, sources)
    assert checkpoint_steps(run) == ["2.damaged", "4"]


def test_no_good_checkpoint_is_one_error_and_changes_nothing(sources, run, like):
    for step in ("2", "4"):
        for item in ("state", "location"):
            flip(largest(run / "checkpoints" / step / item))
    before = contents(run)
    for restore in (
        lambda: Checkpointer(run).restore_state(like),
        lambda: train(SMALL, run, sources),
        lambda: load(run),
        lambda: load(run, "best"),
    ):
        with pytest.raises(CheckpointError, match="nothing was changed") as caught:
            restore()
        lines = str(caught.value).splitlines()
        assert [line.split(": ")[0] for line in lines[1:-1]] == [
            "  checkpoint 4 is damaged",
            "  checkpoint 2 is damaged",
        ]
        assert lines[-1].startswith("--unverified (in Python, unverified=True) uses the newest ")
    assert contents(run) == before


def test_an_intact_encoder_is_loaded_though_the_moments_are_damaged(run, encoders):
    flip(largest(run / "checkpoints" / "4" / "state"))
    same_params(load(run)._params, encoders[4])


def test_the_best_of_the_good(sources, tmp_path, monkeypatch):
    scores = iter([0.3, 0.1, 0.9, 0.2])
    monkeypatch.setattr(loop.Validation, "__call__", lambda *_: {SCORE: next(scores)})
    checkpoints = dataclasses.replace(SMALL.checkpoints, keep=9)
    train(dataclasses.replace(SMALL, steps=8, checkpoints=checkpoints), tmp_path, sources)
    folder = tmp_path / "checkpoints"
    assert choose(folder, "best") == Choice(6, {})
    score = folder / "6" / "metrics" / "metrics"
    score.write_text(score.read_text().replace("0.9", "0.0"))  # it would be the worst, unnoticed
    with pytest.warns(
        FaultWarning, match="checkpoint 6 is damaged: metrics/metrics: .* 2, 4 steps"
    ):
        load(tmp_path, "best")
    load(tmp_path)
    assert choose(folder, "last") == Choice(8, {})


def test_a_damaged_score_is_the_worst_of_the_unverified(run, encoders):
    shutil.rmtree(run / "checkpoints.sha256")
    (run / "checkpoints" / "4" / "metrics" / "metrics").write_text("{")
    with pytest.warns(FaultWarning, match="checkpoint 2 cannot be verified: .*; using it unver"):
        same_params(load(run, "best", unverified=True)._params, encoders[2])


MANIFESTS = {
    "deleted": None,
    "empty": "",
    "a list": "[]",
    "no stamp": '{"a": 3}',
    "deep": "[" * 100_000 + "]" * 100_000,
    "not a number": '{"run.json": {"size": NaN, "sha256": ""}}',
}


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_a_checkpoint_without_a_manifest_cannot_be_verified(manifest, sources, run, encoders):
    """Nor with a damaged one: whatever damages a manifest must not switch the checksums off."""
    path = run / "checkpoints.sha256" / "4.json"
    path.unlink() if manifest is None else path.write_text(manifest)
    message = (
        r"^checkpoint 4 cannot be verified: checkpoints.sha256/4.json: expected its files' "
        r"checksums, found .*; using checkpoint 2, 2 steps earlier$"
    )
    with pytest.warns(FaultWarning, match=message):
        same_params(load(run)._params, encoders[2])
    with pytest.warns(FaultWarning, match=r"checkpoint 4 cannot be .*; using it unverified$"):
        same_params(load(run, unverified=True)._params, encoders[4])
    with pytest.warns(FaultWarning, match=message):
        assert int(train(SMALL, run, sources).step) == 4
    assert checkpoint_steps(run) == ["2", "4", "4.damaged"]
    same_params(load(run)._params, encoders[4])


@pytest.fixture
def earlier(run):
    """The run as version 0.1.0 would have left it: no manifest says anything of run.json."""
    for step in ("2", "4"):
        path = run / "checkpoints.sha256" / f"{step}.json"
        stamps = json.loads(path.read_text())
        del stamps["run.json"]
        prefix = f"checkpoints/{step}/"
        path.write_text(json.dumps({name.removeprefix(prefix): it for name, it in stamps.items()}))
    return run


def test_a_run_of_version_0_1_0_is_recorded_by_training_on(sources, earlier, encoders):
    before = contents(earlier)
    message = "checkpoint 4 cannot be verified: its own files match, but version 0.1.0, .*run.json"
    for restore in (lambda: load(earlier), lambda: train(SMALL, earlier, sources)):
        with pytest.raises(CheckpointError, match=rf"{message}\n(.*\n)+--unverified"):
            restore()
    assert contents(earlier) == before
    with pytest.warns(FaultWarning, match=f"^{message}; using it unverified$") as told:
        train(SMALL, earlier, sources, unverified=True)
    assert len(told) == 1
    same_params(load(earlier)._params, encoders[4])
    shutil.rmtree(earlier / "checkpoints" / "4")
    (earlier / "checkpoints.sha256" / "4.json").unlink()
    same_params(load(earlier)._params, encoders[2])


def test_damage_of_a_run_of_version_0_1_0_is_told(earlier):
    flip(largest(earlier / "checkpoints" / "4" / "location"))
    with pytest.raises(CheckpointError, match=r"4 is damaged: location/.*: expected sha"):
        load(earlier)


def test_training_on_records_no_damage(sources, run):
    for path in contents(folder := run / "checkpoints" / "4" / "location"):
        garble(folder / path)
    with pytest.warns(FaultWarning, match="checkpoint 4 is damaged: .*; using it unverified"):
        train(SMALL, run, sources, unverified=True)
    with pytest.warns(FaultWarning, match="checkpoint 4 is damaged: .*; using checkpoint 2"):
        load(run)


def test_a_kill_before_the_manifest_loses_nothing(sources, run, encoders):
    """The save had begun: readers wait for training to finish it, which restores its very state."""
    state = Checkpointer(run).restore_state(state_like(SMALL, sources))
    begin_manifest(run / "checkpoints" / "4")
    same_params(load(run)._params, encoders[2])  # without a warning: nothing is damaged
    shutil.rmtree(run / "checkpoints" / "2")
    with pytest.raises(CheckpointError, match="checkpoint 4 is being saved, or was when its proc"):
        load(run)
    assert_same_state(train(SMALL, run, sources), state)
    same_params(load(run)._params, encoders[4])
    assert manifests(run) == ["4.json"]


def test_what_restores_no_more_is_passed_over_unverified(run, encoders):
    for path in contents(run / "checkpoints" / "4"):
        if path.parts[0] in ("state", "location"):
            truncate(run / "checkpoints" / "4" / path)
    message = "checkpoint 4 cannot be restored: .*; using checkpoint 2"
    with pytest.warns(FaultWarning, match=message):
        same_params(load(run, unverified=True)._params, encoders[2])


def test_manifests_come_and_go_with_their_checkpoints(sources, tmp_path, monkeypatch):
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.2])
    monkeypatch.setattr(loop.Validation, "__call__", lambda *_: {SCORE: next(scores)})
    train(dataclasses.replace(SMALL, steps=10), tmp_path, sources)
    assert checkpoint_steps(tmp_path) == ["10", "4", "8"]
    assert manifests(tmp_path) == ["10.json", "4.json", "8.json"]
    for step in checkpoint_steps(tmp_path):
        recorded = json.loads((tmp_path / "checkpoints.sha256" / f"{step}.json").read_text())
        assert recorded == {
            path.as_posix(): {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in contents(tmp_path).items()
            if path.parts[:2] == ("checkpoints", step) or path.name == "run.json"
        }


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
    before = contents(run)
    with pytest.raises(CheckpointError, match=r"cannot be restored: .*(shape|structure)"):
        Checkpointer(run, keep=2).restore_state(other)
    assert contents(run) == before


def test_a_checkpoint_of_another_model_is_passed_over(sources, run, tmp_path, encoders):
    location = LocationConfig(SphericalHarmonics(4), Siren((16, 24)), features=8)
    train(dataclasses.replace(SMALL, location=location), tmp_path / "other", sources)
    for folder in ("checkpoints", "checkpoints.sha256"):
        name = "4" if folder == "checkpoints" else "4.json"
        shutil.move(run / folder / name, tmp_path / name)
        shutil.move(tmp_path / "other" / folder / name, run / folder / name)
    with pytest.warns(FaultWarning, match=r"checkpoint 4 is damaged: run\.json: .* checkpoint 2"):
        same_params(load(run)._params, encoders[2])
    write_manifest(run / "checkpoints" / "4")
    message = "checkpoint 4 cannot be restored: .*shape.*; using checkpoint 2, 2 steps earlier"
    with pytest.warns(FaultWarning, match=message):
        same_params(load(run)._params, encoders[2])
    with pytest.warns(FaultWarning, match=message):
        train(SMALL, run, sources)
    same_params(load(run)._params, encoders[4])


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


def test_a_manifest_on_a_full_disk_is_one_error_and_harms_nothing(sources, tmp_path, monkeypatch):
    def full(path, text):
        if BEGUN not in text:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_text(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(choice, "write_text", full)
        with pytest.raises(CheckpointError, match=r"cannot save .*: .*No space left") as caught:
            train(SMALL, tmp_path, sources)
    assert "The checkpoints saved before it are untouched." in str(caught.value)
    assert "2" in checkpoint_steps(tmp_path)
    assert int(train(SMALL, tmp_path, sources).step) == 4
    assert manifests(tmp_path)[-1] == "4.json"


def test_metrics_on_a_full_disk_are_one_error_and_harm_nothing(tmp_path):
    settings = "Checkpoints(save_every=90, validate_every=90, log_every=1)"
    path = write_experiment(tmp_path, steps="90", checkpoints=settings)
    run = tmp_path / "run"
    limited = start("train", path, "--run-dir", run, prefix=("sh", "-c", 'ulimit -f 16; exec "$@"'))
    _, errors = limited.communicate()
    assert limited.returncode == 2, errors
    assert errors.splitlines()[-1] == f"error: cannot write {run}/metrics.jsonl: File too large"
    assert "Traceback" not in errors
    again = start("train", path, "--run-dir", run)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert [line["step"] for line in metrics(run) if "loss" in line] == list(range(1, 91))
