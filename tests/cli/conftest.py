"""An experiment and its run, made by the command, and what a refused command says."""

import re

import pytest

from earth_embed.cli import main
from tests.training.runs import write_experiment


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    """So that messages are not broken into lines."""
    monkeypatch.setenv("COLUMNS", "1000")


SAID = re.compile(r"^\d\d:\d\d:\d\d .*\n", re.MULTILINE)
"""What a command says while it works; see test_progress.py."""


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused, and returns its message."""

    def run(*arguments, status=2):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert caught.value.code == status
        assert "Traceback" not in out + err
        return re.sub(SAID, "", err)

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def experiment(folder):
    """A file with a MELT experiment on two tables."""
    checkpoints = "Checkpoints(save_every=2, validate_every=2, log_every=1)"
    return write_experiment(folder, method="Melt()", steps="4", checkpoints=checkpoints)


@pytest.fixture(scope="module")
def run(experiment, folder):
    """Its run, by the command."""
    main(["train", str(experiment), "--run-dir", str(folder / "run"), "--steps", "3"])
    return folder / "run"
