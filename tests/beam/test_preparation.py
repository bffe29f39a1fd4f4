"""Beam's local runner makes what one process makes, to the byte."""

import pytest

from earth_embed.datasets.preparation.prepare import Work, prepare_from_files
from earth_embed.datasets.preparation.runners import run_beam
from earth_embed.datasets.s2_100k import S2100k
from earth_embed.errors import EarthEmbedError
from tests.datasets.chips import flip_a_bit, marks, shards, write_source

LOCAL = ("direct_running_mode=multi_processing", "direct_num_workers=2")
# TFDS asks protobuf 6, which Beam holds back, for what protobuf 7 has renamed.
pytestmark = pytest.mark.filterwarnings(r"ignore:label\(\) is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_source(folder, 20)
    return folder


def beam(options=LOCAL):
    return Work(rows_per_file=4, runner="DirectRunner", runner_options=options)


def test_two_workers_make_the_same_bytes_as_one_process(published, tmp_path):
    prepare_from_files(S2100k(published), tmp_path / "alone", Work(workers=1, rows_per_file=4))
    prepare_from_files(S2100k(published), tmp_path / "beam", beam())
    assert shards(tmp_path / "beam") == shards(tmp_path / "alone")

    # and go on where another engine's work was lost
    folder = tmp_path / "beam" / "s2_100k" / "1.0.0"
    bad = sorted(folder.glob("*.array_record-*-of-?????"))[1]
    before = marks(folder)
    flip_a_bit(bad)
    prepare_from_files(S2100k(published), tmp_path / "beam", beam(()), verify=True)
    assert shards(tmp_path / "beam") == shards(tmp_path / "alone")
    after = marks(folder)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {bad.name, f"{bad.name}.json"}


def fail(piece):
    raise EarthEmbedError(f"cannot make {piece}")


def test_a_failure_on_a_worker_is_one_error():
    with pytest.raises(EarthEmbedError, match=r"'DirectRunner' failed: .*cannot make a"):
        run_beam(fail, ["a"], "DirectRunner")


def test_an_unknown_runner_is_one_error():
    with pytest.raises(EarthEmbedError, match=r"the Beam runner 'Nowhere' failed: .*Nowhere"):
        run_beam(fail, ["a"], "Nowhere")
