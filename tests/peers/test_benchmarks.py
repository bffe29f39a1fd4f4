"""The benchmarks beside PyTorch, and the one command that writes them all into one file."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"


def test_benchmarks_write_their_sections_and_keep_the_others(tmp_path):
    path = tmp_path / "results.md"
    path.write_text("# Benchmarks\n\n## input\n\nmeasured before\n\n## harmonics\n\nold\n")
    command = [sys.executable, BENCHMARKS / "all.py", "harmonics", "training step, huge pages"]
    command += ["--quick", "--output", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    names = [part.splitlines()[0] for part in text.split("\n## ")[1:]]
    assert names == ["harmonics", "training step, huge pages", "input"]
    assert text.endswith("measured before\n")
    assert "old" not in text
    assert text.count("jaxlib ") == 2
    assert "failed" not in text
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left
