"""A machine with stand-ins for gcloud, srun and the like, which record how they are called."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Records its name and arguments. answers.json has [text in the arguments, answers in turn, status]:
# the last answer stays.
STAND_IN = f"""#!{sys.executable} -IS
import json, pathlib, sys
home = pathlib.Path(__file__).parent
line = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]
with open(home / "calls", "a") as calls:
    calls.write(json.dumps(line) + "\\n")
answers = json.loads((home / "answers.json").read_text())
for answer in answers:
    text, replies, status = answer
    if text in " ".join(line):
        print(replies.pop(0) if len(replies) > 1 else replies[0])
        (home / "answers.json").write_text(json.dumps(answers))
        sys.exit(status)
"""

SETTINGS = {
    "PROJECT": "a-project",
    "ZONE": "a-zone",
    "NAME": "pod",
    "ACCELERATOR_TYPE": "v5litepod-16",
    "RUNTIME_VERSION": "v2-alpha-tpuv5-lite",
    "RUN_DIR": "/mnt/shared/run",
    "EXPERIMENT": "experiments/paper/list.py:melt_image_text",
    "POLL_SECONDS": "0",
}
ACTIVE = [
    ["queued-resources list", ["SUSPENDED"], 0],
    ["queued-resources describe", ["ACTIVE"], 0],
    ["networkEndpoints", ["10.0.0.7"], 0],
]


class Host:
    """A machine with the scripts in a repository of their own, and stand-ins first on the PATH."""

    def __init__(self, home):
        self.home = home
        self.bin = home / "bin"
        self.bin.mkdir(parents=True)
        self.tree = home / "tree"
        shutil.copytree(ROOT / "tpu_scripts", self.tree / "tpu_scripts")
        (self.tree / "committed.py").write_text("")
        git = ("git", "-C", self.tree, "-c", "user.name=t", "-c", "user.email=t@localhost")
        for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "a tree")):
            subprocess.run([*git, *command], check=True)
        for name in ("gcloud", "srun", "scontrol"):
            self.stand_in(self.bin / name)
        self.answer()
        self.settings()

    def stand_in(self, path, text=STAND_IN):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def answer(self, *answers):
        """Sets what the stand-ins answer; otherwise all goes well."""
        (self.bin / "answers.json").write_text(json.dumps([*answers, *ACTIVE]))

    def settings(self, *lines, **changes):
        values = {**SETTINGS, "FETCH_DIR": str(self.home / "fetched"), **changes}
        named = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
        (self.home / "settings.sh").write_text("\n".join([*named, *lines]) + "\n")

    def run(self, script, *arguments, status=0, text=None, configured=True, **environment):
        """Runs a script, expects its exit status, returns what it printed."""
        config = ("--config", self.home / "settings.sh") if configured else ()
        done = subprocess.run(
            [self.tree / "tpu_scripts" / script, *arguments, *config],
            env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", **environment},
            cwd=self.home,
            input=text or "",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, done.stderr
        self.messages = done.stderr
        return done.stdout

    def calls(self):
        """What the stand-ins were called with so far, which they then forget."""
        file = self.bin / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "a home")
