"""Files appear whole or not at all, look like those they replace, and leave nothing behind."""

import os
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import strategies as st

from earth_embed.errors import EarthEmbedError
from earth_embed.files import (
    atomic_folder,
    atomic_output,
    check_writable,
    remove_leftovers,
    write_text,
)
from tests.conftest import limited_file_size
from tests.fuzzing import fuzz
from tests.killing import Killed, events_below, killed_at, stopped_at


def names(folder):
    return {path.name for path in folder.iterdir()}


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o444])
def test_an_existing_file_keeps_its_permissions_and_is_never_wider(tmp_path, mode):
    path = tmp_path / "out.csv"
    path.write_text("old")
    path.chmod(mode)
    with atomic_output(path) as temporary:
        assert permissions(temporary) & ~0o600 == 0
        temporary.write_text("new")
    assert (path.read_text(), permissions(path)) == ("new", mode)
    assert names(tmp_path) == {"out.csv"}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_default_permissions(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "out.txt", "new")
    finally:
        os.umask(before)
    assert permissions(tmp_path / "out.txt") == 0o666 & ~umask


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_root_keeps_the_owner(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    os.chown(path, 1234, 5678)
    path.chmod(0o640)
    write_text(path, "new")
    found = path.stat()
    assert (found.st_uid, found.st_gid, permissions(path)) == (1234, 5678, 0o640)


def test_a_link_stays_and_leads_to_the_new_file(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "data.csv", tmp_path / "out.csv"
    (tmp_path / "hop.csv").symlink_to("there/data.csv")
    link.symlink_to("hop.csv")
    for text in ("made through a link that led nowhere", "replaced"):
        write_text(link, text)
        assert link.is_symlink()
        assert (tmp_path / "hop.csv").is_symlink()
        assert not target.is_symlink()
        assert target.read_text() == text
    assert names(tmp_path) == {"there", "hop.csv", "out.csv"}
    assert names(tmp_path / "there") == {"data.csv"}


def test_a_link_in_a_circle_is_an_error(tmp_path):
    (tmp_path / "a.csv").symlink_to("b.csv")
    (tmp_path / "b.csv").symlink_to("a.csv")
    with pytest.raises(EarthEmbedError, match=r"cannot write .*a\.csv: .*symbolic links"):
        write_text(tmp_path / "a.csv", "text")


def test_text_goes_into_a_pipe_and_other_formats_are_refused(tmp_path):
    pipe = tmp_path / "out.csv"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "lon,lat\n")
    reader.join()
    assert read == ["lon,lat\n"]
    with pytest.raises(EarthEmbedError, match="pipe or a device; this format"), atomic_output(pipe):
        raise AssertionError("not to be written")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == {"out.csv"}


def test_devices_are_written_and_stay(tmp_path):
    link = tmp_path / "out.txt"
    link.symlink_to("/dev/null")
    write_text(link, "gone")
    assert stat.S_ISCHR(link.stat().st_mode)
    link.unlink()
    link.symlink_to("/dev/full")
    with pytest.raises(EarthEmbedError, match=r"cannot write .*out\.txt: No space left"):
        write_text(link, "nowhere")


def test_a_folder_appears_whole_with_the_permissions_of_the_empty_one(tmp_path):
    (tmp_path / "there").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to("there")
    with (
        limited_file_size(4),
        pytest.raises(OSError, match="too large"),
        atomic_folder(tmp_path / "run") as temporary,
    ):
        (temporary / "file").write_text("half of it")
    assert names(tmp_path) == {"there", "run"}
    assert names(tmp_path / "there") == set()
    with atomic_folder(tmp_path / "run") as temporary:
        (temporary / "file").write_text("whole")
    assert (tmp_path / "run").is_symlink()
    assert permissions(tmp_path / "there") == 0o700
    assert (tmp_path / "there" / "file").read_text() == "whole"
    with pytest.raises(OSError, match="not empty"), atomic_folder(tmp_path / "run"):
        pass
    assert names(tmp_path) == {"there", "run"}
    with atomic_folder(tmp_path / "new" / "run"):
        pass
    assert names(tmp_path / "new") == {"run"}


# Writes half a file, says so, and waits for its end.
HALF = """
import sys
from pathlib import Path
from earth_embed.files import atomic_output

with atomic_output(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("half", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_a_living_one_s_file_is_not(tmp_path):
    path = tmp_path / "out.csv"
    command = [sys.executable, "-c", HALF, str(path)]
    dead, living = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    )
    try:
        for process in (dead, living):
            assert process.stdout.readline() == b"half\n"
        dead.kill()
        dead.wait()
        ours = [f".out.{living.pid}.csv", f".out.{living.pid}.csv.lock"]
        theirs = [f".out.{dead.pid}.csv", f".out.{dead.pid}.csv.lock"]
        assert names(tmp_path) == {*ours, *theirs}
        # No leftovers of ours: another output's, and a user's own hidden file.
        others = [".out.7.parquet", ".out.7.parquet.lock", ".out.2024.csv", ".out.csv.lock"]
        for name in others:
            (tmp_path / name).touch()
        write_text(path, "whole")
        assert names(tmp_path) == {*ours, *others, "out.csv"}
        living.communicate()
        assert path.read_text() == "half"  # the one that ends last
        assert names(tmp_path) == {*others, "out.csv"}
        remove_leftovers(tmp_path)
        assert names(tmp_path) == {".out.2024.csv", ".out.csv.lock", "out.csv"}
    finally:
        for process in (dead, living):
            process.kill()
            process.communicate()


def test_two_threads_write_one_after_the_other(tmp_path):
    path, inside, order = tmp_path / "out.txt", threading.Event(), []

    def second():
        inside.wait()
        with atomic_output(path) as temporary:
            order.append("second")
            temporary.write_text("second")

    thread = threading.Thread(target=second)
    thread.start()
    with atomic_output(path) as temporary:
        inside.set()
        temporary.write_text("first")
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert path.read_text() == "second"
    assert names(tmp_path) == {"out.txt"}


OUTPUTS = {"old.txt", "new.csv", "run"}


def replace_all(folder):
    """Replaces a file, makes one, and makes a folder."""
    write_text(folder / "old.txt", "new")
    write_text(folder / "new.csv", "new")
    if not (folder / "run").exists():
        with atomic_folder(folder / "run") as temporary:
            write_text(temporary / "run.json", "new")


@pytest.mark.parametrize("kill", [killed_at, stopped_at])
def test_killed_at_any_moment_and_done_again(tmp_path, kill):
    """At every event of the file system, not only at some: nothing half, and nothing left."""

    def fresh(name):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "old.txt").write_text("old")
        return folder

    whole = fresh("whole")
    total = events_below(whole, lambda: replace_all(whole))
    assert total > 20
    for moment in range(total):
        folder = fresh(str(moment))
        with pytest.raises(Killed), kill(folder, moment):
            replace_all(folder)
        left = names(folder)
        assert (folder / "old.txt").read_text() in ("old", "new")
        assert "new.csv" not in left or (folder / "new.csv").read_text() == "new"
        assert "run" not in left or (folder / "run" / "run.json").read_text() == "new"
        if kill is stopped_at:
            assert left <= OUTPUTS, moment
        replace_all(folder)
        remove_leftovers(folder)
        assert names(folder) == OUTPUTS, moment
        assert names(folder / "run") == {"run.json"}


def test_a_folder_that_cannot_be_written_is_found_before_the_work(tmp_path):
    check_writable(tmp_path, size=1000)
    with pytest.raises(EarthEmbedError, match=r"too little room: expected .* MB, found"):
        check_writable(tmp_path, size=10**18)
    with limited_file_size(1000), pytest.raises(EarthEmbedError, match="File too large"):
        check_writable(tmp_path)
    with pytest.raises(EarthEmbedError, match="No such file"):
        check_writable(tmp_path / "none")
    with pytest.raises(EarthEmbedError, match="cannot write"):
        check_writable(tmp_path / "\udcc3")
    assert names(tmp_path) == set()


@fuzz(150, name=st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=40))
def test_any_name_is_written_or_refused_in_one_error(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("names")
    try:
        write_text(folder / name, "text")
    except EarthEmbedError:
        assert names(folder) == set()
    else:
        assert (folder / name).read_text() == "text"
        assert names(folder) == {name}
