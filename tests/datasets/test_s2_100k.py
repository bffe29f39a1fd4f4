"""Large data sets: chips from published files, in pieces that stop, go on and are checked."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import rasterio

from earth_embed.cells import is_held_out
from earth_embed.cli import main
from earth_embed.data.tfds import open_tfds, prepare
from earth_embed.datasets.catalogue import from_files, verify
from earth_embed.datasets.preparation.pieces import Skipped
from earth_embed.datasets.preparation.prepare import Work, prepare_from_files
from earth_embed.datasets.s2_100k import S2100k, read_chip
from earth_embed.errors import (
    ConfigError,
    CoordinateError,
    DataError,
    EarthEmbedError,
    FaultWarning,
)
from tests.conftest import limited_file_size
from tests.datasets.chips import (
    end,
    flip_a_bit,
    group_is_alive,
    make_chip,
    marks,
    shards,
    start,
    start_held,
    write_chip,
    write_index,
    write_source,
)
from tests.killing import assert_survives

pytest.importorskip("tensorflow_datasets")

COUNT = 40
ALONE = Work(workers=1, rows_per_file=4)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_source(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def reference(published, tmp_path_factory):
    """The data directory of a preparation that nothing disturbed, in one process."""
    folder = tmp_path_factory.mktemp("reference")
    prepare_from_files(S2100k(published), folder, ALONE)
    return folder


@pytest.fixture
def prepared(reference, tmp_path):
    """A copy to damage."""
    shutil.copytree(reference, tmp_path / "data")
    return tmp_path / "data"


def files_in(data_dir):
    return data_dir / "s2_100k" / "1.0.0"


def index_of(folder):
    lines = (folder / "index.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines]
    return [(float(lon), float(lat)) for lat, lon, *_ in rows], [row[-1] for row in rows]


def pixels(path):
    with rasterio.open(path) as file:
        return np.stack([file.read(band) for band in range(1, 13)], axis=-1)


def assert_holds(data_dir, published):
    """Every chip of the index stands once in its split, with its place, bit for bit."""
    lonlat, files = index_of(published)
    stored = np.asarray(lonlat, np.float32)
    held_out = is_held_out(stored)
    for split, members in (("train", ~held_out), ("validation", held_out)):
        source = open_tfds("s2_100k", "chip", split, data_dir, text_bytes=1)
        assert len(source) == members.sum() > 0
        order = np.random.default_rng(0).permutation(len(source))
        examples = source.gather(order)
        rows = np.flatnonzero(members)[order]
        np.testing.assert_array_equal(examples["lonlat"], stored[rows])
        assert examples["sample"].dtype == np.uint16
        for chip, row in zip(examples["sample"], rows, strict=True):
            np.testing.assert_array_equal(chip, pixels(published / "images" / files[row]))


def test_chips_and_places_are_those_of_the_files(published, reference):
    assert_holds(reference, published)


@pytest.mark.skipif(
    "EARTH_EMBED_DATA" not in os.environ, reason="EARTH_EMBED_DATA names no folder of real data"
)
def test_real_chips(tmp_path):
    real = Path(os.environ["EARTH_EMBED_DATA"]) / "s2_100k_sample"
    said = prepare_from_files(S2100k(real), tmp_path, ALONE)
    assert "skipped 0 of 20 rows" in said
    assert_holds(tmp_path, real)


def test_a_chip_is_no_virtual_file_and_has_no_huge_blocks(tmp_path, rng):
    write_chip(tmp_path / "a.tif", make_chip(rng))
    assert read_chip(tmp_path / "a.tif").shape == (256, 256, 12)
    source = "<SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename></SimpleSource>"
    band = f"<VRTRasterBand dataType='UInt16'>{source}</VRTRasterBand>"
    virtual = f"<VRTDataset rasterXSize='256' rasterYSize='256'>{12 * band}</VRTDataset>"
    (tmp_path / "b.tif").write_text(virtual + 10_000 * " ")
    assert read_chip(tmp_path / "b.tif") == Skipped("broken", "b.tif")
    large = {"tiled": True, "blockxsize": 16_384, "blockysize": 8_192, "compress": "deflate"}
    shape = {"height": 256, "width": 256, "count": 12, "dtype": "uint16", "sparse_ok": True}
    shape |= {"transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(tmp_path / "c.tif", "w", driver="GTiff", **shape, **large):
        pass
    with (tmp_path / "c.tif").open("ab") as file:
        file.write(bytes(10_000))
    assert read_chip(tmp_path / "c.tif") == Skipped("of another shape or type", "c.tif")


@pytest.mark.parametrize("name", ["../secret.tif", "a/../../secret.tif", "/etc/secret.tif"])
def test_an_index_names_no_file_outside_its_folder(tmp_path, name):
    (tmp_path / "images").mkdir()
    write_index(tmp_path, [(0, 0), (1, 1)], ["a.tif", name])
    with pytest.raises(DataError, match=rf"row 1 names '{name}'; expected a file below .*images"):
        prepare_from_files(S2100k(tmp_path), tmp_path / "data", ALONE)


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "json", "type"])
def test_metadata_can_import_no_module(prepared, tmp_path, monkeypatch, key):
    """TFDS imports the module of a class that it does not know."""
    (tmp_path / "anyones.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    path = files_in(prepared) / "features.json"
    features = json.loads(path.read_text())
    chip = features["featuresDict"]["features"]["chip"]
    del chip["pythonClassName"]
    chip[key] = "anyones.Feature"
    path.write_text(json.dumps(features))
    message = rf"expected features of tensorflow_datasets\.core\.features\.\*; found {key} = 'any"
    with pytest.raises(DataError, match=message):
        open_tfds("s2_100k", "chip", "train", prepared, 1)


def test_processes_make_the_same_bytes(published, reference, tmp_path):
    prepare_from_files(S2100k(published), tmp_path, Work(workers=2, rows_per_file=4))
    assert shards(tmp_path) == shards(reference)
    assert len(shards(tmp_path)) > 8


def test_files_that_hold_no_chip_are_skipped_and_counted(tmp_path, rng):
    lonlat, files = write_source(tmp_path / "published", 7)
    images = tmp_path / "published" / "images"
    (images / files[0]).unlink()
    (images / files[1]).write_bytes(b"")
    (images / files[2]).write_bytes((images / files[2]).read_bytes()[:60_000])
    write_chip(images / files[3], make_chip(rng)[:128])
    write_chip(images / files[4], make_chip(rng).astype(np.float32))
    (images / files[5]).write_bytes(rng.bytes(60_000))
    said = prepare_from_files(S2100k(tmp_path / "published"), tmp_path / "data", ALONE)
    counts = {"missing": 1, "tiny": 1, "broken": 2, "of another shape or type": 2}
    assert said.endswith(
        "skipped 6 of 7 rows: 2 broken, 1 missing, 2 of another shape or type, 1 tiny"
    )
    info = prepare("s2_100k", tmp_path / "data").info
    assert info.metadata["skipped"] == counts
    assert sum(split.num_examples for split in info.splits.values()) == 1
    [split] = [name for name, split in info.splits.items() if split.num_examples]
    [lon_lat] = open_tfds("s2_100k", "chip", split, tmp_path / "data", 1).gather(np.array([0]))[
        "lonlat"
    ]
    np.testing.assert_array_equal(lon_lat, np.float32(lonlat[6]))
    named = [json.loads(path.read_text())["skipped"] for path in tmp_path.rglob("s2*.json")]
    assert [found["missing"] for found in named if "missing" in found] == [[files[0]]]


def without_index(folder):
    (folder / "index.csv").unlink()


def without_images(folder):
    shutil.rmtree(folder / "images")


def without_names(folder):
    (folder / "index.csv").write_text("lat,lon,file\n1,2,patch_1.tif\n")


def without_a_name(folder):
    (folder / "index.csv").write_text("lat,lon,fn\n1,2,patch_1.tif\n1,2,\n")


def with_swapped_columns(folder):
    (folder / "index.csv").write_text("lon,lat,fn\n-54.2,-168.2,patch_1.tif\n36,9.5,patch_2.tif\n")


def without_a_chip(folder):
    for path in (folder / "images").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (without_index, DataError, "no such table: .*index.csv"),
        (without_images, DataError, "expected index.csv and a folder images"),
        (without_names, DataError, "no column 'fn' of file names; it has lat, lon, file"),
        (without_a_name, DataError, "'fn' must name a file in every row; row 1 has none"),
        (with_swapped_columns, CoordinateError, "are lon and lat swapped"),
        (without_a_chip, DataError, "no row of the index has a file that can be used.*3 missing"),
    ],
)
def test_a_source_that_cannot_be_used_is_one_error(tmp_path, spoil, error, message):
    write_source(tmp_path / "published", 3)
    spoil(tmp_path / "published")
    with pytest.raises(error, match=message):
        prepare_from_files(S2100k(tmp_path / "published"), tmp_path / "data", ALONE)
    assert not files_in(tmp_path / "data").exists()


def test_a_data_set_that_is_not_prepared_says_how(tmp_path):
    with pytest.raises(DataError, match="earth-embed prepare s2_100k --source DIR"):
        open_tfds("s2_100k", "chip", "train", tmp_path, 1)
    with pytest.raises(DataError, match=r"'toponyms' that is made from .* files; expected s2_100k"):
        from_files("toponyms", tmp_path)
    with pytest.raises(DataError, match=r"not prepared in .*--source DIR"):
        verify("s2_100k", tmp_path, 1)
    with pytest.raises(DataError, match=r"'toponyms' that is made from .* files; expected s2_100k"):
        verify("toponyms", tmp_path, 1)


@pytest.mark.parametrize("field", ["workers", "rows_per_file"])
def test_numbers_are_checked(field):
    with pytest.raises(ConfigError, match=f"{field} = 0: expected 1 or more"):
        Work(**{field: 0})


def wait_for(condition, process, seconds=300):
    """Waits while the process runs."""
    stop = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < stop
        time.sleep(0.002)


@contextlib.contextmanager
def under_way(published, data_dir, reached, workers):
    """A preparation in which every worker is at work, and which cannot come to its end.

    The worker that takes the second file waits for a chip for ever. The first file may be its work
    too; with two workers, a further one is the other's.
    """
    lonlat, files = index_of(published)
    train = np.flatnonzero(~is_held_out(lonlat))
    arguments = ("--source", published, "--data-dir", data_dir, "--rows-per-file", 4)
    process = start_held(files[train[4]], reached, *arguments, "--workers", workers)
    try:
        wait_for(
            lambda: reached.exists() and len([*data_dir.rglob("s2*.json")]) >= workers, process
        )
        yield process
    finally:
        end(process)


def hidden(folder):
    """Leftovers, and the lock that lets one preparation at a time into a folder."""
    return {path.name for path in folder.rglob(".*")}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_preparation_goes_on_where_it_was(published, reference, tmp_path, workers):
    arguments = ("--source", published, "--data-dir", tmp_path)
    arguments += ("--workers", workers, "--rows-per-file", 4)
    folder = tmp_path / "s2_100k" / "incomplete.1.0.0"
    with under_way(published, tmp_path, tmp_path / "reached", workers) as process:
        process.kill()
        process.wait()
        stop = time.monotonic() + 60
        while group_is_alive(process):  # the workers end with their parent
            assert time.monotonic() < stop
            time.sleep(0.01)
    finished = {path.name.removesuffix(".json") for path in folder.glob("s2*.json")}
    assert 0 < len(finished) < len(shards(reference))
    assert not files_in(tmp_path).exists()
    with pytest.raises(DataError, match="not prepared"):
        prepare("s2_100k", tmp_path)
    before = marks(folder)
    main(["prepare", "s2_100k", *map(str, arguments)])
    assert shards(tmp_path) == shards(reference)
    after = marks(files_in(tmp_path))
    assert {file: after[file] for file in finished} == {file: before[file] for file in finished}
    assert hidden(tmp_path) == {".lock"}
    assert not [*tmp_path.rglob("incomplete*")]


def test_killed_at_random_moments_and_done_again(tmp_path):
    write_source(tmp_path / "published", 6)
    published, work = S2100k(tmp_path / "published"), dataclasses.replace(ALONE, rows_per_file=2)

    def make(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    assert_survives(make, lambda folder: prepare_from_files(published, folder, work), tries=6)


def test_of_two_preparations_the_second_waits(published, reference, tmp_path):
    arguments = ("--source", published, "--data-dir", tmp_path, "--rows-per-file", 4)
    processes = [start(*arguments), start(*arguments)]
    try:
        outputs = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            end(process)
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sum("rows/s" in errors for _, errors in outputs) == 1  # one of them made it all
    assert shards(tmp_path) == shards(reference)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_preparation_ends_at_once_and_quietly(published, tmp_path, workers):
    with under_way(published, tmp_path, tmp_path / "reached", workers) as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to parent and workers
        _, errors = process.communicate(timeout=60)  # waiting for the chip would have no end
    assert process.returncode == 130
    assert errors.endswith("interrupted\n")
    assert "Traceback" not in errors


@pytest.mark.parametrize("damage", [flip_a_bit, lambda path: os.truncate(path, 1000), Path.unlink])
def test_damage_is_named_and_only_that_file_is_made_anew(
    prepared, reference, published, damage, capsys
):
    bad = sorted(files_in(prepared).glob("s2*array_record*-of-?????"))[3]
    expected, before = marks(files_in(prepared)), shards(prepared)[bad.name]
    damage(bad)
    command = ["prepare", "s2_100k", "--data-dir", str(prepared), "--verify"]
    with pytest.raises(SystemExit):
        main(command)
    said = capsys.readouterr().err
    record = json.loads(Path(f"{bad}.json").read_text())
    expectation = {
        flip_a_bit: f"expected SHA-256 {record['sha256']}, found ",
        Path.unlink: f"expected {len(before):,} bytes, found no such file",
    }.get(damage, f"expected {len(before):,} bytes, found 1,000")
    assert f"{bad}: {expectation}" in said
    assert "makes only this file anew" in said
    if damage is flip_a_bit:
        prepare("s2_100k", prepared)  # opening looks at the sizes alone of large files
    else:
        with pytest.raises(DataError, match=f"{bad.name}: expected .* bytes, found"):
            prepare("s2_100k", prepared)

    source = ["--source", str(published), "--workers", "1", "--rows-per-file", "4"]
    main([*command, *source])
    assert f"{bad}: {expectation}" in capsys.readouterr().err
    assert shards(prepared) == shards(reference)
    again = marks(files_in(prepared))
    written = {bad.name, f"{bad.name}.json"}
    assert {name for name in expected if expected[name] != again[name]} == written
    main(command)
    assert "as their checksums say" in capsys.readouterr().out


def test_damage_once_found_is_not_forgotten(prepared, reference, published):
    bad = sorted(files_in(prepared).glob("s2*array_record*-of-?????"))[3]
    flip_a_bit(bad)
    with limited_file_size(1000), pytest.raises(EarthEmbedError, match="File too large"):
        prepare_from_files(S2100k(published), prepared, ALONE, verify=True)
    prepare_from_files(S2100k(published), prepared, ALONE)
    assert shards(prepared) == shards(reference)


def test_changed_metadata_are_found_and_written_anew(prepared, reference, published):
    """Smaller counts would drop examples in silence."""
    path = files_in(prepared) / "dataset_info.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"4"', b'"3"', 1))
    assert path.read_bytes() != whole
    with pytest.raises(DataError, match=r"dataset_info\.json: expected SHA-256 .* anew\)$"):
        prepare("s2_100k", prepared)
    before = marks(files_in(prepared))
    prepare_from_files(S2100k(published), prepared, ALONE)
    assert path.read_bytes() == whole
    after = marks(files_in(prepared))
    pieces = {name for name in before if "array_record" in name}
    assert {name: after[name] for name in pieces} == {name: before[name] for name in pieces}
    prepare("s2_100k", prepared)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_data_set_of_an_earlier_version_is_recorded(damaged, prepared, capsys):
    record = files_in(prepared) / "checksums.json"
    expected = record.read_bytes()
    record.unlink()
    with pytest.warns(FaultWarning, match=r"cannot be verified: .*--verify records them"):
        prepare("s2_100k", prepared)
    if damaged:
        flip_a_bit(sorted(files_in(prepared).glob("s2*array_record*-of-?????"))[3])
        with pytest.raises(SystemExit):
            main(["prepare", "s2_100k", "--data-dir", str(prepared), "--verify"])
        assert not record.exists()
        return
    main(["prepare", "s2_100k", "--data-dir", str(prepared), "--verify"])
    assert record.read_bytes() == expected
    prepare("s2_100k", prepared)


@pytest.mark.parametrize("file", ["plan.json", "dataset_info.json"])
def test_unreadable_metadata_is_one_error(prepared, published, file):
    (files_in(prepared) / file).write_text("{")
    with pytest.raises(DataError, match=r"cannot (read|open) .*"):
        prepare_from_files(S2100k(published), prepared, ALONE)


def test_a_folder_of_other_making_is_left_alone(tmp_path, published):
    files_in(tmp_path).mkdir(parents=True)
    with pytest.raises(DataError, match=r"has no plan\.json: it was not made by this command"):
        prepare_from_files(S2100k(published), tmp_path, ALONE)
    assert not [*files_in(tmp_path).iterdir()]


def test_a_finished_data_set_is_left_alone(prepared, published):
    before = marks(files_in(prepared))
    prepare_from_files(S2100k(published), prepared, ALONE)
    assert marks(files_in(prepared)) == before


def test_other_settings_are_refused(prepared, published, tmp_path):
    with pytest.raises(DataError, match="expected rows_per_file = 4, found 5"):
        prepare_from_files(S2100k(published), prepared, Work(workers=1, rows_per_file=5))
    lonlat, files = index_of(published)
    (tmp_path / "other" / "images").mkdir(parents=True)
    write_index(tmp_path / "other", lonlat[::-1], files)
    with pytest.raises(DataError, match=r"expected index_sha256 = [0-9a-f]+, found"):
        prepare_from_files(S2100k(tmp_path / "other"), prepared, ALONE)


def test_a_full_disk_is_one_error_and_what_was_done_is_kept(published, reference, tmp_path):
    sizes = sorted(len(contents) for contents in shards(reference).values())
    assert sizes[0] < sizes[-1]  # the last piece of a split is smaller
    full = limited_file_size(sizes[-1] - 1)
    with full, pytest.raises(EarthEmbedError, match=r"cannot write .*s2_100k-.*File too large"):
        prepare_from_files(S2100k(published), tmp_path, ALONE)
    assert hidden(tmp_path) == {".lock"}
    kept = shards(tmp_path)
    prepare_from_files(S2100k(published), tmp_path, ALONE)
    assert shards(tmp_path) == shards(reference)
    assert kept.items() <= shards(reference).items()


@pytest.mark.skipif(find_spec("apache_beam") is not None, reason="Beam is installed")
def test_a_runner_without_beam_names_the_extra(published, tmp_path):
    with pytest.raises(EarthEmbedError, match=r"'apache-beam'.*earth-embed\[beam\]"):
        prepare_from_files(S2100k(published), tmp_path, Work(runner="DirectRunner"))
