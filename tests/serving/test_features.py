"""`features`: the encoder's own numbers, a table that training reads, the same after any stop."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from earth_embed.cli import main
from earth_embed.data.sources import ArraySource
from earth_embed.data.tables import open_table
from earth_embed.encoders.frozen import PUBLISHED, FrozenEncoder
from earth_embed.encoders.frozen.inputs import ImageInput, TextInput
from earth_embed.encoders.frozen.resnet import ResNet
from earth_embed.encoders.frozen.text import SentenceEncoder
from earth_embed.encoders.frozen.transformer import Blocks
from earth_embed.errors import DataError, EarthEmbedError
from earth_embed.importing.frozen import expected_arrays, read_frozen
from earth_embed.serving import features as module
from earth_embed.serving.features import write_features
from earth_embed.training.checksums import sha256
from tests.conftest import limited_file_size, random_places

SMALL = {
    "small": FrozenEncoder(
        ResNet((1,), bottleneck=False, width=4), ImageInput(8, 8, (9.0,) * 3, (50.0,) * 3), 4, ""
    ),
    "words": FrozenEncoder(
        SentenceEncoder(Blocks(8, 1, 2, 1e-12, "after"), 6, 9), TextInput(9, 6), 8, ""
    ),
}
COUNT, ROWS = 40, 16


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small encoders and chunks."""
    for name, encoder in SMALL.items():
        monkeypatch.setitem(PUBLISHED, name, encoder)
    monkeypatch.setattr(module, "BATCHES", ROWS // 8)


@pytest.fixture
def folder(tmp_path, rng):
    """Weights, a tokeniser, and a table of images and texts."""
    for name, encoder in SMALL.items():
        shapes = {k: shape for k, (_, shape) in expected_arrays(encoder).items()}
        arrays = {k: rng.uniform(0.1, 1, shape).astype(np.float32) for k, shape in shapes.items()}
        save_file(arrays, tmp_path / f"{name}.safetensors")
    words = {"[PAD]": 0, "[UNK]": 1, "san": 2, "jose": 3, "zug": 4, "bern": 5}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    places = pd.DataFrame(random_places(rng, COUNT), columns=["lon", "lat"])
    places["name"] = ["san jose", "zug"] * (COUNT // 2)
    places.to_csv(tmp_path / "places.csv", index=False)
    images = rng.integers(0, 255, (COUNT, 8, 8, 3)).astype(np.uint8)
    np.save(tmp_path / "places.npy", images)
    return tmp_path


@pytest.fixture
def write(folder):
    def run(output, field="places.npy", name="small", dataset="places.csv", **options):
        weights = folder / f"{name}.safetensors"
        return write_features(
            name, weights, str(folder / dataset), field, folder / output, batch_size=8, **options
        )

    return run


def contents(folder, stem):
    return {p.suffix: p.read_bytes() for p in folder.glob(f"{stem}.*")}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_features_are_a_table_that_training_reads(folder, write, suffix):
    assert write(f"out{suffix}") == COUNT
    source = open_table(folder / "places.csv", "places.npy", "all", 8)
    stored = source.gather(np.arange(COUNT))
    params = read_frozen(SMALL["small"], folder / "small.safetensors").params
    expected = SMALL["small"].features(params, stored["sample"])
    found = open_table(folder / f"out{suffix}", "out.npy", "all", 8).gather(np.arange(COUNT))
    assert found["sample"].dtype == np.float32
    np.testing.assert_allclose(found["sample"], expected, rtol=1e-5)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_array_equal(found["lonlat"], stored["lonlat"])
    record = json.loads((folder / "out.json").read_text())
    assert record["encoder"] == "small"
    assert record["weights_sha256"] == sha256(folder / "small.safetensors")
    assert not [*folder.glob(".out*")]


def test_texts(folder, write):
    write("out.csv", "name", "words")
    params = read_frozen(SMALL["words"], folder / "words.safetensors").params
    tokens = np.zeros((2, 8), np.int32)
    tokens[0, :2], tokens[1, 0] = (2, 3), 4
    expected = SMALL["words"].features(params, tokens)
    found = np.load(folder / "out.npy")
    np.testing.assert_allclose(found, np.tile(expected, (COUNT // 2, 1)), atol=1e-6)
    record = json.loads((folder / "out.json").read_text())
    assert record["tokenizer_sha256"] == sha256(folder / "tokenizer.json")


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_stopped_run_goes_on_to_the_same_bytes(folder, write, monkeypatch, done):
    write("whole.parquet")
    save = module.Chunks.save

    def stop(self, number, *arrays):
        if number == done:
            raise KeyboardInterrupt
        save(self, number, *arrays)

    with monkeypatch.context() as patch:
        patch.setattr(module.Chunks, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            write("out.parquet")
    assert not contents(folder, "out")
    before = {p: p.stat().st_ino for p in folder.glob(".out.chunks/0*.npy")}
    assert len(before) == done
    made = []
    monkeypatch.setattr(
        module.Chunks,
        "save",
        lambda self, number, *arrays: (made.append(number), save(self, number, *arrays)),
    )
    write("out.parquet")
    assert made == [*range(done, -(-COUNT // ROWS))]
    assert contents(folder, "out") == contents(folder, "whole")
    write("out.parquet")  # nothing is left to be made
    assert made == [*range(done, -(-COUNT // ROWS))]


def test_other_settings_are_refused(folder, write, monkeypatch):
    monkeypatch.setattr(module.Chunks, "finish", lambda self, count: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write("out.csv")
    monkeypatch.undo()
    monkeypatch.setitem(PUBLISHED, "other", SMALL["small"])
    (folder / "other.safetensors").write_bytes((folder / "small.safetensors").read_bytes())
    difference = "begun with encoder = 'small', not 'other'; weights = 'small.safetensors', not"
    monkeypatch.setitem(PUBLISHED, "small", SMALL["small"])
    for _ in range(2):  # begun, then whole
        with pytest.raises(DataError, match=difference):
            write("out.csv", name="other")
        write("out.csv")
    before = contents(folder, "out")
    assert set(before) == {".csv", ".npy", ".json"}


def test_what_others_wrote_is_never_touched(folder, write):
    before = contents(folder, "places")
    with pytest.raises(DataError, match=r"places\.csv is there already: name another outpu"):
        write("places.csv")
    (folder / "mine.json").write_text("[1]")
    with pytest.raises(DataError, match=r"mine\.json is no record of features"):
        write("mine.csv")
    assert contents(folder, "places") == before
    assert not [*folder.glob(".*")]


def test_a_full_disk_loses_nothing(folder, write):
    """The chunks fit, the array of them all does not."""
    with (
        limited_file_size(ROWS * 4 * 6 + 200),
        pytest.raises(EarthEmbedError, match=r"cannot write .*out\.npy: File too large"),
    ):
        write("out.csv")
    assert not contents(folder, "out")
    assert len([*folder.glob(".out.chunks/0*.npy")]) == -(-COUNT // ROWS)
    assert write("out.csv") == COUNT


def test_splits_follow_each_other(folder, write, monkeypatch, rng):
    images, lonlat = np.load(folder / "places.npy"), random_places(rng, COUNT)
    halves = {"train": slice(0, 25), "validation": slice(25, COUNT)}
    monkeypatch.setattr(
        module, "open_tfds", lambda d, f, split, *_: ArraySource(*(a[halves[split]] for a in both))
    )
    both = (images, lonlat)
    write("out.csv", dataset="chips")
    write("table.csv")
    np.testing.assert_array_equal(np.load(folder / "out.npy"), np.load(folder / "table.npy"))
    found = pd.read_csv(folder / "out.csv")[["lon", "lat"]].to_numpy(np.float32)
    np.testing.assert_array_equal(found, lonlat.astype(np.float32))


def test_the_command(folder, capsys):
    files = [str(folder / "small.safetensors"), str(folder / "places.csv")]
    rest = ["--field", "places.npy", "-o", str(folder / "out.csv"), "--batch-size"]
    main(["features", "small", *files, *rest, "8"])
    assert f"wrote {COUNT} rows to {folder / 'out.csv'}" in capsys.readouterr().out
    for command, message in {
        ("small", "7"): "batch_size = 7: expected a multiple of 8 devices",
        ("large", "8"): "no encoder 'large': expected one of resnet18_sentinel2, ",
        ("words", "8"): "expected a BERT of transformers (embeddings.word_embeddings.weight, …)",
    }.items():
        with pytest.raises(SystemExit):
            main(["features", command[0], *files, *rest, command[1]])
        assert message in capsys.readouterr().err
    rest[3] = str(folder / "nowhere" / "out.csv")
    with pytest.raises(SystemExit):
        main(["features", "small", *files, *rest, "8"])
    assert "cannot write" in capsys.readouterr().err
