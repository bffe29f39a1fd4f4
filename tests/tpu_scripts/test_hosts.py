"""The launch scripts for Slurm and GPU hosts, and the job that runs there and on TPU workers."""

import json
import shlex
import shutil
import time

import pytest


@pytest.mark.parametrize("status", [0, 1, 143])
def test_slurm_queues_itself_again_when_stopped_with_its_state_saved(host, status):
    spool = host.home / "spool"  # Slurm runs a copy of the script
    shutil.copy(host.tree / "tpu_scripts" / "slurm.sbatch", spool)
    host.settings("TRAIN_ARGUMENTS=(--name 'a b')", RUN_DIR="a run", VENV="an env")
    job = {"SLURM_JOB_ID": "12", "SLURM_SUBMIT_DIR": str(host.tree)}
    (line,) = host.run(spool, "--dry-run", **job).splitlines()
    host.answer(["srun", [""], status])
    host.run(spool, status=status, **job)
    srun, *after = host.calls()
    assert srun == shlex.split(line)
    assert srun[srun.index("an env/bin/earth-embed") :] == [
        *(
            "an env/bin/earth-embed",
            "train",
            "experiments/paper/list.py:melt_image_text",
            "--run-dir",
            "a run",
        ),
        *("--coordinator", "auto", "--name", "a b"),
    ]
    assert after == ([["scontrol", "requeue", "12"]] if status == 143 else [])


def test_a_cancelled_slurm_job_waits_for_its_tasks_and_stays_cancelled(host):
    saves = '#!/bin/bash\nkill -TERM "$PPID"; sleep 0.5; echo saved; exit 143\n'
    host.stand_in(host.bin / "srun", saves)
    assert "saved" in host.run("slurm.sbatch", status=143, SLURM_JOB_ID="12")
    assert host.calls() == []


# Training: says how it was called, then trains until told to stop.
TRAINING = """#!/bin/bash
trap 'echo saved; exit 143' TERM
echo "start $*"
if [[ -e stop_once ]]; then rm stop_once; exit 143; fi
touch trains
for _ in {1..600}; do sleep 0.05; done
"""


def wait_for(file, text):
    """Waits until the file has the text."""
    deadline = time.monotonic() + 30
    while not (file.exists() and text in file.read_text()):
        assert time.monotonic() < deadline, file.read_text() if file.exists() else "no file"
        time.sleep(0.02)


def test_a_gpu_host_trains_in_the_background_restarts_and_stops(host):
    host.stand_in(host.tree / "env" / "bin" / "earth-embed", TRAINING)
    host.settings("TRAIN_ARGUMENTS=(--name 'a b')", VENV="env", RUN_DIR="runs/run")
    (host.tree / "stop_once").touch()
    log = host.tree / "runs" / "run.job" / "train.log"
    host.run("gpu_host", "train", RESTART_SECONDS="0")
    try:
        wait_for(host.tree / "trains", "")
        line = (
            "start train experiments/paper/list.py:melt_image_text --run-dir runs/run --name a b\n"
        )
        assert log.read_text().count(line) == 2
        assert "status 143" in log.read_text()
        host.run("gpu_host", "resume", status=1)
        assert "already runs" in host.messages
    finally:
        host.run("gpu_host", "stop")
    assert log.read_text().count("start") == 2
    assert log.read_text().count("saved") == 1
    assert "nothing runs" in host.run("gpu_host", "stop")


@pytest.mark.parametrize("there", ["nothing", "a folder", "no program"])
def test_what_cannot_start_is_not_said_to_be_started(host, there):
    program = host.tree / "env" / "bin" / "earth-embed"
    program.parent.mkdir(parents=True)
    if there == "a folder":
        program.mkdir()
    elif there == "no program":
        program.write_text("")
        program.chmod(0o644)
    host.settings(VENV="env", RUN_DIR="runs/run")
    for _ in range(2):  # nothing holds the lock
        assert "started" not in host.run("gpu_host", "train", status=127)
        assert "no program env/bin/earth-embed to start" in host.messages
    assert "nothing runs" in host.run("gpu_host", "stop")


def test_a_job_that_does_not_stop_is_killed(host):
    ignores = ["bash", "-c", "trap '' TERM; echo up; for _ in {1..600}; do sleep 0.05; done"]
    host.run("job", "start", "here", *ignores, configured=False)
    wait_for(host.home / "here" / "train.log", "up")
    host.run("job", "stop", "here", STOP_SECONDS="0.2", configured=False)
    assert "killed" in host.messages
    assert "nothing runs" in host.run("job", "stop", "here", configured=False)


def test_a_job_stops_without_the_pause_before_a_restart(host):
    host.stand_in(host.bin / "training", TRAINING)
    environment = {"configured": False, "RESTART_SECONDS": "600"}
    host.run("job", "start", "here", "training", **environment)
    wait_for(host.home / "trains", "")
    assert "stopped" in host.run("job", "stop", "here", STOP_SECONDS="20", **environment)
    assert "saved" in (host.home / "here" / "train.log").read_text()


def test_a_failed_job_is_not_restarted(host):
    host.run("job", "start", "here", "bash", "-c", "exit 2", configured=False, RESTART_SECONDS="0")
    wait_for(host.home / "here" / "train.log", "status 2")
    assert (host.home / "here" / "train.log").read_text().count("status") == 1


@pytest.mark.parametrize("old", [False, True])
def test_setup_installs_with_the_python_that_is_new_enough(host, old):
    makes = f"""#!/bin/bash
    case "$*" in
        *version_info*) exit {int(old)} ;;
        "-m venv "*) mkdir -p "$3/bin" && cp "{host.bin}"/{{pip,uv,answers.json}} "$3/bin" ;;
    esac
    """
    for name in ("pip", "uv"):
        host.stand_in(host.bin / name)
    host.stand_in(host.bin / "python3", makes)
    made = 'd=${!#}; mkdir -p "$d/bin" && cp "$(dirname "$0")"/{pip,answers.json} "$d/bin"'
    host.stand_in(host.bin / "uv", f'#!/bin/bash\necho "$*" > "{host.home}/uv"\n{made}\n')
    host.settings(VENV="env")
    host.run("gpu_host", "setup", "--cuda", "12")
    (call,) = (host.tree / "env" / "bin" / "calls").read_text().splitlines()
    package = f"{host.tree}[data,evaluate,logging]"
    assert json.loads(call) == ["pip", "install", "--quiet", package, "jax[cuda12]"]
    assert (host.home / "uv").exists() == old
