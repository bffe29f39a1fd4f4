"""What commands say: at once, in whole lines off a terminal, and nothing from a library."""

import io
import itertools
import re
import subprocess
import sys
import threading

import pytest
from hypothesis import strategies as st

from earth_embed import progress
from earth_embed.cli import COMMANDS, _opening
from tests.fuzzing import fuzz

LINE = re.compile(r"\d\d:\d\d:\d\d .+")

WHAT_WAS_IMPORTED_WHEN_IT_FIRST_SPOKE = """
import sys

class Noting:
    def __init__(self, file):
        self.file, self.first = file, None

    def write(self, text):
        if self.first is None:
            self.first = text, sorted({"jax", "flax", "numpy", "tensorflow"} & set(sys.modules))
        return self.file.write(text)

    def __getattr__(self, name):
        return getattr(self.file, name)

sys.stderr = Noting(sys.stderr)
from earth_embed.cli import program
try:
    program()
finally:
    print(*sys.stderr.first, "jax" in sys.modules, sep="\\n")
"""


class Stream(io.StringIO):
    """A log file, or a terminal; it notes what the clock said at each write."""

    def __init__(self, terminal=False, clock=lambda: 0.0):
        super().__init__()
        self.terminal, self.clock, self.times = terminal, clock, []
        self.grown = threading.Condition()

    def isatty(self):
        return self.terminal

    def write(self, text):
        with self.grown:
            self.times += [self.clock()] * text.count("\n")
            count = super().write(text)
            self.grown.notify_all()
        return count

    def wait_for(self, text, times):
        """Waits until the text was written so often."""
        with self.grown:
            assert self.grown.wait_for(lambda: self.getvalue().count(text) >= times, 60)

    @property
    def lines(self):
        return [line.partition(" ")[2] for line in self.getvalue().splitlines()]

    @property
    def seen(self):
        """What a terminal shows in its last line."""
        shown = ""
        for part in self.getvalue().rpartition("\n")[2].split("\r"):
            shown = part + shown[len(part) :]
        return shown.strip()


@pytest.fixture
def listen(monkeypatch):
    """Puts a stream in the place of stderr. (pytest puts its own there when a test begins.)"""

    def start(**settings):
        stream = Stream(**settings)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return start


def test_a_command_speaks_before_it_imports_jax():
    arguments = ["train", "no_such_experiment.py"]
    done = subprocess.run(
        [sys.executable, "-c", WHAT_WAS_IMPORTED_WHEN_IT_FIRST_SPOKE, *arguments],
        capture_output=True,
        text=True,
    )
    said, _, imported, later = done.stdout.splitlines()
    assert said.endswith("earth-embed train no_such_experiment.py: training an experiment")
    assert (imported, later) == ("[]", "True")
    assert done.returncode == 2
    first, *_, error = done.stderr.splitlines()
    assert first == said
    assert error.startswith("error: ")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_line_says_what_the_command_does(name):
    assert _opening(name, []) == f"earth-embed {name}: {COMMANDS[name][2]}"
    assert _opening(name, ["runs/a b", "--x"]).startswith(f"earth-embed {name} runs/a b: ")
    assert _opening(name, ["--x", "1"]).startswith(f"earth-embed {name}: ")
    for arguments in (["-h"], ["runs/a", "--help"]):
        assert _opening(name, arguments) is None


def test_only_process_0_speaks(listen, monkeypatch):
    log = listen()
    for arguments in (["a.py", "--process", "0"], ["a.py", "--process=0", "--processes=2"]):
        assert _opening("train", arguments) is not None
    for arguments in (["a.py", "--process", "10"], ["a.py", "--process=1", "--processes=2"]):
        assert _opening("train", arguments) is None
    monkeypatch.setenv("EARTH_EMBED_PROCESS", "3")
    assert _opening("train", ["a.py"]) is None
    with progress.command(None), progress.phase("opening"):
        assert progress.in_command()
    assert log.lines == []
    with progress.command("training"), progress.phase("joining"):  # it learns its number late
        progress.be_quiet()
        with progress.phase("opening"):
            pass
    assert log.lines == ["training", "joining"]


def test_a_library_says_no_phases(listen):
    log = listen()
    for _ in range(2):
        assert not progress.in_command()
        with progress.phase("opening"):
            assert progress.first_call("compiling", len)("abc") == 3
        assert log.lines == []
        with progress.command("first"):
            pass
        log.truncate(0)


def test_a_log_gets_each_phase_as_a_line(listen):
    log = listen()
    with progress.command("embedding"):
        compute = progress.first_call("compiling", lambda x: x + 1)
        with progress.phase("opening"), progress.phase("importing"):
            pass
        assert [compute(x) for x in (1, 2)] == [2, 3]
        with pytest.raises(ZeroDivisionError), progress.phase("dividing"):
            _ = 1 / 0
    assert log.lines == ["embedding", "opening", "importing", "compiling", "dividing"]
    assert all(LINE.fullmatch(line) for line in log.getvalue().splitlines())


def test_a_long_phase_is_said_again(listen, monkeypatch):
    log = listen()
    monkeypatch.setattr(progress, "MINUTE", 0.001)
    monkeypatch.setattr(progress, "SECOND", 0.001)
    with progress.command("training"), progress.phase("preparing"):
        log.wait_for(" preparing\n", 3)
    length = len(log.lines)
    assert log.lines == ["training"] + ["preparing"] * (length - 1)
    assert not [thread for thread in threading.enumerate() if "repeat" in thread.name]


@fuzz(
    100,
    waits=st.lists(st.floats(0, 200), max_size=60),
    postfix=st.sampled_from([{}, {"loss": "1.234"}]),
    iterated=st.booleans(),
)
def test_a_log_gets_at_most_one_line_a_minute(waits, postfix, iterated):
    now = [1000.0]
    log = Stream(clock=lambda: now[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", log)
        patch.setattr("tqdm.std.time", log.clock)
        shown = progress.bar(waits if iterated else None, total=len(waits), desc="train")
        for wait in shown if iterated else waits:
            now[0] += wait
            shown.set_postfix(postfix, refresh=False)
            if not iterated:
                shown.update()
        shown.close()
    assert not {"\r", "\b", "\x1b"} & set(log.getvalue())
    assert all(re.fullmatch(r"train: \d+% \d+/\d+ \[\d\d.+]", line) for line in log.lines)
    assert f" {len(waits)}/{len(waits)} [" in log.lines[-1]
    *during, _ = log.times  # it ends when it ends
    assert all(b - a >= progress.MINUTE for a, b in itertools.pairwise(during))
    # And a step that takes longer is followed by one.
    assert len(during) > sum(wait >= progress.MINUTE for wait in waits[:-1])


def test_a_terminal_s_line_changes_in_place_and_goes(listen, monkeypatch):
    terminal = listen(terminal=True)
    monkeypatch.setattr(progress, "SECOND", 0.001)
    with progress.command("training"):
        with progress.phase("opening"):
            terminal.wait_for("\ropening … 00:00", 3)
            assert terminal.seen == "opening … 00:00"
            print("said by others", file=progress.Above())
            assert terminal.seen == "opening … 00:00"
        assert terminal.seen == ""
        monkeypatch.setenv("COLUMNS", "30")
        with progress.phase("reading " + "long/" * 20):
            assert terminal.seen == "reading long/long/ … 00:00"
        assert terminal.seen == ""
        shown = progress.bar(total=2, desc="train", bar_format="{desc} {n_fmt}")
        shown.update(2)
        shown.close()
    first, others, last = terminal.getvalue().rstrip("\n").split("\n")
    assert first == "training"
    assert others.rpartition("\r")[2] == "said by others"
    assert last.rpartition("\r")[2] == "train 2"
