"""The TPU scripts beside a stand-in gcloud, and what all launch scripts share."""

import shlex
import subprocess

import pytest

TPU = ("create", "setup", "train", "resume", "logs", "fetch", "delete")
COMMON = ("--config", "--dry-run", "--help")
WHERE = ["--project=a-project", "--zone=a-zone"]


def flag(call, name):
    (value,) = (word.removeprefix(f"{name}=") for word in call if word.startswith(f"{name}="))
    return value


def remote(call):
    """The words of the last command that an ssh call runs on its workers."""
    return shlex.split(flag(call, "--command").split(" && ")[-1].split("; ")[-1])


@pytest.mark.parametrize(
    ("script", "options"),
    [
        *((name, COMMON) for name in TPU if name not in ("delete", "logs")),
        ("delete", (*COMMON, "--yes")),
        ("logs", (*COMMON, "--slice", "--worker", "--lines")),
        ("gpu_host", (*COMMON, "--cuda", "setup", "train", "resume", "logs", "stop")),
        ("slurm.sbatch", COMMON),
        ("job", ("start", "stop", "--help")),
        ("install", ("VENV", "JAX", "EXTRAS")),
    ],
)
def test_help_names_the_options_and_an_example(host, script, options):
    text = host.run(script, "--help", configured=False)
    assert [option for option in options if option not in text] == []
    assert "Usage: " in text
    assert "Example: " in text
    assert host.calls() == []


@pytest.mark.parametrize("slices", ["1", "3"])
@pytest.mark.parametrize("script", TPU)
def test_a_dry_run_prints_what_a_real_run_calls(host, script, slices):
    # The one word that gcloud alone knows; a real address is tested below.
    host.answer(["networkEndpoints", ["COORDINATOR_ADDRESS"], 0])
    host.settings('TRAIN_ARGUMENTS=(--name "it\'s a \\"name\\"" --seed 1)', SLICES=slices)
    printed = [shlex.split(line) for line in host.run(script, "--dry-run").splitlines()]
    assert host.calls() == []
    if script == "fetch":  # nothing copies, so nothing can be renamed
        host.run(script, status=1)
    else:
        host.run(script, *(["--yes"] if script == "delete" else []))
    called = host.calls()
    assert called
    assert [words for words in printed if words[0] == "gcloud"] == called
    assert all(set(WHERE) <= set(call) for call in called)


@pytest.mark.parametrize(
    ("slices", "nodes"),
    [("1", ["--node-id=pod"]), ("2", ["--node-count=2", "--node-prefix=pod"])],
)
@pytest.mark.parametrize("spot", ["true", "false"])
def test_create_requests_the_nodes_and_waits(host, slices, nodes, spot):
    states = ["WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"]
    host.answer(["describe", states, 0])
    host.settings("CREATE_FLAGS=(--network='my net')", SLICES=slices, SPOT=spot)
    host.run("create")
    create, *waiting = host.calls()
    assert create[:6] == ["gcloud", "compute", "tpus", "queued-resources", "create", "pod"]
    expected = {*nodes, *WHERE, "--accelerator-type=v5litepod-16", "--network=my net"}
    expected |= {"--runtime-version=v2-alpha-tpuv5-lite"} | (
        {"--spot"} if spot == "true" else set()
    )
    assert set(create[6:]) == expected
    assert len(waiting) == len(states)


@pytest.mark.parametrize("state", ["FAILED", "SUSPENDED"])
def test_a_request_that_is_dead_is_not_waited_for(host, state):
    host.answer(["describe", [state], 0])
    host.run("setup", status=1)
    assert state in host.messages
    assert len(host.calls()) == 1


def test_setup_sends_the_committed_tree_to_all_workers_of_all_slices(host):
    (host.tree / "uncommitted.py").write_text("")
    host.settings(SLICES="2", BUCKET="a-bucket", MOUNT="/mnt/shared", WORKER_SETUP="touch 'a b'")
    host.run("setup")
    _, scp, ssh = host.calls()
    assert scp[:5] == ["gcloud", "compute", "tpus", "queued-resources", "scp"]
    assert scp[6] == "pod:earth_embed.tar.gz"
    assert {"--node=all", "--worker=all"} <= set(scp) & set(ssh)
    names = subprocess.run(
        ["tar", "-tf", scp[5]], capture_output=True, text=True, check=True
    ).stdout
    assert {"committed.py", "tpu_scripts/job"} <= set(names.splitlines())
    assert "uncommitted.py" not in names
    command = flag(ssh, "--command")
    assert command.startswith("set -e; touch 'a b'; ")
    assert "gcsfuse --implicit-dirs --rename-dir-limit=100000 a-bucket /mnt/shared" in command
    assert remote(ssh)[1:] == ["earth_embed_venv", "jax[tpu]", "data,evaluate,logging"]
    subprocess.run(["bash", "-n", "-c", command], check=True)


def test_train_starts_every_worker_of_every_slice(host):
    host.settings("TRAIN_ARGUMENTS=(--name \"it's 'a b'\")", SLICES="3", DATA_DIR="/data/a b")
    host.run("train")
    _, *starts = host.calls()
    assert [call[5] for call in starts] == ["pod-0", "pod-1", "pod-2"]
    assert all("--worker=all" in call for call in starts)
    for number, call in enumerate(starts):
        program, *words = remote(call)
        assert program == "env"
        assert dict(word.split("=") for word in words[:4]) == {
            "MEGASCALE_COORDINATOR_ADDRESS": "10.0.0.7",
            "MEGASCALE_PORT": "8080",
            "MEGASCALE_NUM_SLICES": "3",
            "MEGASCALE_SLICE_ID": str(number),
        }
        assert words[4:7] == ["tpu_scripts/job", "start", "../earth_embed_job"]
        assert words[7:] == [
            *(
                "../earth_embed_venv/bin/earth-embed",
                "train",
                "experiments/paper/list.py:melt_image_text",
            ),
            *("--run-dir", "/mnt/shared/run", "--data-dir", "/data/a b"),
            *("--coordinator", "auto", "--name", "it's 'a b'"),
        ]


def test_one_slice_needs_no_meeting_point(host):
    host.run("train")
    (call,) = host.calls()
    assert call[5] == "pod"
    assert "MEGASCALE" not in flag(call, "--command")


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("SUSPENDED", ["list", "delete", "create", "describe", "describe", "scp", "ssh", "ssh"]),
        ("FAILED", ["list", "delete", "create", "describe", "describe", "scp", "ssh", "ssh"]),
        ("", ["list", "create", "describe", "describe", "scp", "ssh", "ssh"]),
        ("ACTIVE", ["list", "describe", "scp", "ssh", "ssh"]),
    ],
)
def test_resume_recreates_what_is_dead_and_trains_with_the_same_command(host, state, verbs):
    host.run("train")
    (train,) = host.calls()
    host.answer(["queued-resources list", [state], 0])
    host.run("resume")
    calls = host.calls()
    assert [call[4] for call in calls] == verbs
    assert calls[-1] == train


def test_logs_follows_the_worker_asked_for(host):
    host.settings(SLICES="2")
    host.run("logs", "--slice", "1", "--worker", "3", "--lines", "7")
    (call,) = host.calls()
    assert call[5:7] == ["pod-1", "--worker=3"]
    assert remote(call) == ["tail", "-n", "7", "-F", "earth_embed_job/train.log"]
    host.run("logs", "--slice", "2", status=2)
    assert host.calls() == []


@pytest.mark.parametrize("script", TPU)
def test_an_error_of_gcloud_ends_the_script_with_its_status(host, script):
    host.answer(["", [""], 7])
    host.run(script, *(["--yes"] if script == "delete" else []), status=7)
    assert len(host.calls()) == 1


def test_fetch_never_loses_what_was_fetched(host):
    copies = """#!/bin/bash
    for target; do [[ $target != *.partial ]] || break; done
    mkdir "$target" && echo "$CONTENT" > "$target/run.json"
    exit "$STATUS"
    """
    host.stand_in(host.bin / "gcloud", copies)
    run = host.home / "fetched" / "run"
    host.run("fetch", CONTENT="first", STATUS="0")
    host.run("fetch", CONTENT="half", STATUS="3", status=3)
    assert (run / "run.json").read_text() == "first\n"
    host.run("fetch", CONTENT="second", STATUS="0")
    assert (run / "run.json").read_text() == "second\n"
    assert (run.with_name("run.1") / "run.json").read_text() == "first\n"
    assert sorted(path.name for path in run.parent.iterdir()) == ["run", "run.1"]


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_delete_asks(host, answer, status):
    host.run("delete", text=answer, status=status)
    calls = host.calls()
    assert len(calls) == (status == 0)
    assert all({"--force", "--quiet"} <= set(call) for call in calls)


@pytest.mark.parametrize(
    ("script", "name", "value"),
    [
        *((script, "PROJECT", "") for script in TPU),
        ("create", "RUNTIME_VERSION", ""),
        ("train", "EXPERIMENT", ""),
        ("fetch", "RUN_DIR", ""),
        ("train", "RUN_DIR", "runs/relative"),
        ("setup", "BUCKET", "a-bucket"),  # RUN_DIR lies beside the mount
        ("create", "SLICES", "none"),
        ("create", "SPOT", "yes"),
        ("create", "NAME", "A pod"),
        ("slurm.sbatch", "EXPERIMENT", ""),
    ],
)
def test_a_missing_or_wrong_setting_names_itself_and_the_file(host, script, name, value):
    host.settings(**{name: value})
    host.run(script, status=2)
    assert (name if name != "BUCKET" else "MOUNT") in host.messages
    assert str(host.home / "settings.sh") in host.messages
    assert host.calls() == []


@pytest.mark.parametrize("script", [*TPU, "slurm.sbatch", "gpu_host"])
def test_an_unknown_argument_is_refused(host, script):
    host.run(script, "--nonsense", status=2)
    assert host.calls() == []
