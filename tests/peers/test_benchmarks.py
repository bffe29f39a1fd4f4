"""The benchmarks beside PyTorch, and the one command that runs them all."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"


def test_all_benchmarks_write_one_file(tmp_path):
    path = tmp_path / "results.md"
    command = [sys.executable, BENCHMARKS / "all.py", "--quick", "--output", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    for name in ("harmonics", "training step", "encoders", "contrastive memory", "conv in cond"):
        assert f"\n## {name}\n" in text
    assert "jax " in text
    assert "failed" not in text
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left
