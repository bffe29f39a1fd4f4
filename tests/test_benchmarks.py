"""Every benchmark that needs no PyTorch runs and prints its table; for the others: tests/peers."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "experiments" / "benchmarks"


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("encoders", 2),
        ("contrastive_memory", 5),
        ("conv_in_cond", 2),
        ("input", 14),
        ("storage", 5),
        ("embed", 6),
        ("scaling", 2),
        ("reproducibility", 3),
    ],
)
def test_prints_its_table(name, rows):
    command = [sys.executable, BENCHMARKS / f"{name}.py", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(table) == rows + 1  # with its header
    assert len({line.count("|") for line in table}) == 1
