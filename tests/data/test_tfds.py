"""Data sets of TFDS: made once, verified, read; what others wrote is refused in one error."""

import shutil
import socket
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from earth_embed.data import tfds as data_tfds
from earth_embed.data.sources import encode_text, in_memory
from earth_embed.data.tfds import open_tfds, prepare
from earth_embed.errors import CoordinateError, DataError, EarthEmbedError, FaultWarning
from earth_embed.progress import command
from tests.conftest import limited_file_size
from tests.damage import damages, do_damage
from tests.fuzzing import fuzz
from tests.killing import assert_survives

tfds = pytest.importorskip("tensorflow_datasets")


FIELDS = {"blue_marble": "image", "toponyms": "text", "linke_turbidity": "series"}


@pytest.mark.parametrize("name", FIELDS)
def test_a_source_gathers_what_tfds_decodes(tiny, name):
    source = open_tfds(f"{name}/tiny", FIELDS[name], "validation", tiny, text_bytes=40)
    indices = np.array([7, 0, 7, 101])
    examples = source.gather(indices)
    reference = prepare(f"{name}/tiny", tiny).as_data_source("validation")
    samples = [reference[int(i)][FIELDS[name]] for i in indices]
    if name == "toponyms":
        samples = encode_text([text.decode() for text in samples], 40)
    np.testing.assert_array_equal(examples["sample"], np.stack(samples))
    lonlat = [(reference[int(i)]["lon"], reference[int(i)]["lat"]) for i in indices]
    np.testing.assert_array_equal(examples["lonlat"], lonlat)
    assert examples["sample"].dtype == (np.float32 if name == "linke_turbidity" else np.uint8)
    assert examples["lonlat"].dtype == np.float32
    assert len(in_memory(source)) == len(source) == len(reference)


class Odd(tfds.core.GeneratorBasedBuilder):
    """What a data set of another hand may hold."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image, number = tfds.features.Image, tfds.features.Scalar
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "lon": number(np.float32),
                    "lat": number(np.float32),
                    "broken": image(shape=(4, 4, 3)),
                    "sized": image(shape=(None, None, 3)),
                    "number": number(np.int64),
                    "missing": number(np.float32),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"good": self._generate_examples(8), "bad": self._generate_examples(800)}

    def _generate_examples(self, lat):
        yield (
            0,
            {
                "lon": 350,
                "lat": lat,
                "broken": b"no image",
                "sized": np.zeros((2, 3, 3), np.uint8),
                "number": 3,
                "missing": np.nan,
            },
        )


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("broken", "an image of feature 'broken' cannot be read"),
        ("sized", "feature 'sized' of data set 'odd/1.0.0' is Image.* of one size"),
        ("missing", "feature 'missing' holds numbers that are not finite"),
        ("nothing", "has no feature 'nothing'; it has lon, lat, broken, sized"),
    ],
)
def test_unusable_features_are_refused(tmp_path, field, message):
    with pytest.raises(DataError, match=message):
        open_tfds("odd", field, "good", tmp_path, 8).gather(np.array([0]))


def test_coordinates_are_wrapped_and_checked(tmp_path):
    examples = open_tfds("odd", "number", "good", tmp_path, 8).gather(np.array([0]))
    np.testing.assert_array_equal(examples["lonlat"], [[-10, 8]])
    np.testing.assert_array_equal(examples["sample"], [[3]])
    with pytest.raises(CoordinateError, match="lat=800"):
        open_tfds("odd", "number", "bad", tmp_path, 8).gather(np.array([0]))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("test", "no split 'test'; it has train, validation"),
        ("train[:0]", r"split 'train\[:0\]' of .* is empty"),
    ],
)
def test_unknown_and_empty_splits_are_refused(tiny, split, message):
    with pytest.raises(DataError, match=message):
        open_tfds("toponyms/tiny", "text", split, tiny, 8)


@pytest.mark.parametrize("name", ["atlantis", "toponyms/huge", "no such name", ""])
def test_unknown_data_sets_are_refused(tmp_path, name):
    with pytest.raises(DataError, match=f"no data set '{name}': expected one of blue_marble"):
        prepare(name, tmp_path)


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot prepare the data set 'odd' in '.*file.*'"):
        prepare("odd", tmp_path / "file" / "folder")


def test_a_full_disk_is_one_error_and_leaves_no_data_set(tmp_path):
    error = r"cannot prepare the data set 'odd' in .*File too large"
    with limited_file_size(20_000), pytest.raises(DataError, match=error):
        prepare("odd", tmp_path)
    assert not list(tmp_path.rglob("*array_record*"))


def test_damaged_files_are_one_error(tmp_path):
    prepare("odd", tmp_path)
    [file] = tmp_path.rglob("odd-good.array_record*")
    content = file.read_bytes()
    file.write_bytes(content[:100])
    with pytest.raises(DataError, match=r"expected [\d,]+ bytes, found 100 \(remove .* anew\)$"):
        open_tfds("odd", "number", "good", tmp_path, 8)
    [record] = tmp_path.rglob("checksums.json")
    for text in ("[]", "{", '{"a": 1}'):
        record.write_text(text)
        with pytest.raises(DataError, match=r"\.json: expected the files' checksums, .* anew\)$"):
            prepare("odd", tmp_path)
    record.unlink()  # as in a data set that another package made: its records have hashes
    file.write_bytes(content[:100] + bytes(50) + content[150:])
    with pytest.raises(DataError, match=r"'odd/1\.0\.0' cannot be read"):
        open_tfds("odd", "number", "good", tmp_path, 8).gather(np.array([0]))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pvlib", None)
    with pytest.raises(EarthEmbedError, match=r"'pvlib'.*earth-embed\[worlddata\]"):
        prepare("linke_turbidity/tiny", tmp_path)


def test_a_command_keeps_tfds_off_stdout_and_its_bars_out_of_logs(tmp_path, capsys):
    with command("preparing"):
        prepare("odd", tmp_path / "command")
    out, err = capsys.readouterr()
    assert out == ""
    assert "preparing the data set odd in " in err
    assert "\r" not in err
    prepare("odd", tmp_path / "library")
    out, err = capsys.readouterr()
    assert "downloaded and prepared" in out
    assert "\r" in err
    assert "preparing the data set odd in " not in err


def test_a_data_set_asked_for_by_several_at_once_is_made_once(tmp_path, monkeypatch):
    """Threads here, since the lock is the same between processes."""
    made, make = [], data_tfds._make
    monkeypatch.setattr(data_tfds, "_make", lambda *arguments: made.append(make(*arguments)))
    together = threading.Barrier(3)

    def ask(_):
        together.wait()
        return len(open_tfds("linke_turbidity/tiny", "series", "train", tmp_path, 8))

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(ask, range(3)))) == 1
    assert len(made) == 1


def test_a_data_set_that_another_process_makes_just_now_is_opened(tiny, tmp_path, monkeypatch):
    """TFDS's builder, made before the files were there, knows no splits."""
    build = tfds.builder

    def another_is_quicker(*arguments, **options):
        builder = build(*arguments, **options)
        shutil.copytree(tiny / "toponyms", tmp_path / "toponyms", dirs_exist_ok=True)
        return builder

    monkeypatch.setattr(tfds, "builder", another_is_quicker)
    assert len(open_tfds("toponyms/tiny", "text", "train", tmp_path, 8)) > 1000


def test_reading_leaves_tensorflow_unloaded(tiny):
    code = f"""
import sys
from earth_embed.data import tfds
from earth_embed.tasks import labels
assert not {{"tensorflow", "tensorflow_datasets"}} & set(sys.modules)
source = tfds.open_tfds("blue_marble/tiny", "image", "train", {str(tiny)!r}, 8)
source.gather(__import__("numpy").arange(3))
assert "tensorflow" not in sys.modules
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def toponyms(tiny, tmp_path_factory):
    """A data directory with one small data set, and all that is read of it."""
    folder = tmp_path_factory.mktemp("toponyms")
    shutil.copytree(tiny / "toponyms", folder / "toponyms")
    return folder, read_toponyms(folder)


def read_toponyms(folder):
    sources = [open_tfds("toponyms/tiny", "text", split, folder, 16) for split in SPLITS]
    return [values for s in sources for values in s.gather(np.arange(len(s))).values()]


SPLITS = ("train", "validation")


@fuzz(40, damage=damages())
def test_a_damaged_data_set_gives_the_right_samples_or_is_told(damage, toponyms, tmp_path):
    whole, expected = toponyms
    folder = shutil.copytree(whole, tmp_path / "damaged", dirs_exist_ok=True)
    done = do_damage(folder / "toponyms", damage)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = read_toponyms(folder)
        except DataError:
            return
        finally:
            shutil.rmtree(folder)
    if {warning.category for warning in caught} == {FaultWarning}:
        assert any(kind in ("delete", "swap") for kind, *_ in damage)
        return
    assert not caught
    assert len(found) == len(expected), done
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=str(done))


@pytest.mark.parametrize("name", ["huggingface:evil__evil", "kaggle:evil/a", "mnist", "a:b:c"])
def test_no_name_from_elsewhere_reaches_the_network(name, tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise AssertionError(f"the network was asked for {arguments}")

    for what in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, what, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    with pytest.raises(DataError, match=f"no data set '{name}': expected one of blue_marble"):
        open_tfds(name, "image", "train", tmp_path, 8)
    assert not list(tmp_path.rglob("*.array_record*"))


def test_what_lies_prepared_is_read_whatever_made_it(toponyms, tmp_path):
    """By its own metadata, without the code of a builder."""
    folder, expected = toponyms
    shutil.copytree(folder / "toponyms" / "tiny", tmp_path / "places_elsewhere" / "tiny")
    source = open_tfds("places_elsewhere/tiny", "text", "train", tmp_path, 16)
    np.testing.assert_array_equal(source.gather(np.arange(len(source)))["sample"], expected[0])


def test_a_data_set_of_an_earlier_version_is_read_with_a_warning(toponyms, tmp_path):
    folder, expected = toponyms
    shutil.copytree(folder / "toponyms", tmp_path / "toponyms")
    [record] = tmp_path.rglob("checksums.json")
    record.unlink()
    with pytest.warns(FaultWarning, match=r"'toponyms/tiny' in .* cannot be verified: .*anew"):
        found = read_toponyms(tmp_path)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_first_preparation_killed_at_random_moments_and_done_again(tmp_path, read_towns_once):
    def make(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    assert_survives(make, lambda folder: prepare("toponyms/tiny", folder), tries=4)
