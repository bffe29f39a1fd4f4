"""Every tutorial runs from top to bottom on its small settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "pages" / "notebooks").glob("*.py"))


def test_there_are_five():
    assert len(NOTEBOOKS) == 5


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(notebook, tmp_path, request):
    env = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    if "/tiny" in (text := notebook.read_text()) or "load_labels(" in text:
        env["TFDS_DATA_DIR"] = str(request.getfixturevalue("tiny"))
    done = subprocess.run(
        [sys.executable, notebook], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
