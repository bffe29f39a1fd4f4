"""`features`: the encoder's own numbers in views, read by training, the same after any stop."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from earth_embed.cells import HOLDOUT
from earth_embed.cli import main
from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.data.features import open_features
from earth_embed.data.sources import ArraySource, Views
from earth_embed.data.tables import open_table
from earth_embed.errors import ConfigError, DataError, EarthEmbedError
from earth_embed.features import write as module
from earth_embed.features.frozen import PUBLISHED
from earth_embed.features.views import ViewSettings
from earth_embed.features.weights import expected_arrays, read_frozen
from earth_embed.features.write import write_features
from earth_embed.files import sha256
from tests.conftest import limited_file_size, random_places
from tests.features.encoders import SMALL
from tests.killing import assert_survives
from tests.training.runs import contents
from tests.training.test_processes import ends, processes

COUNT, ROWS = 40, 16
THREE = ViewSettings(3, jitter_m=500.0, seed=7)
COMMAND = """
import sys
from earth_embed.cli import main
from earth_embed.features import write
from earth_embed.features.frozen import PUBLISHED
from tests.features.encoders import SMALL
PUBLISHED.update(SMALL)
write.BATCHES = 2
main(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small encoders and shards."""
    for name, encoder in SMALL.items():
        monkeypatch.setitem(PUBLISHED, name, encoder)
    monkeypatch.setattr(module, "BATCHES", ROWS // 8)


@pytest.fixture
def folder(tmp_path, rng):
    """Weights, a tokenizer, and a table of images and texts."""
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


def opened(folder, split="all"):
    return open_features(folder / "features.json", "features", split)


def everything(source):
    """(samples, lonlat) of a source."""
    examples = source.gather(np.arange(len(source)))
    return examples["sample"], examples["lonlat"]


def test_features_are_the_encoders_own(folder, write):
    assert write("out") == COUNT
    images, lonlat = everything(open_table(folder / "places.csv", "places.npy", "all", 8))
    params = read_frozen(SMALL["small"], folder / "small.safetensors").params
    expected = SMALL["small"].features(params, images)
    found, places = everything(opened(folder / "out"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_array_equal(places, lonlat)
    record = json.loads((folder / "out" / "features.json").read_text())
    assert record["encoder"] == "small"
    assert record["weights_sha256"] == sha256(folder / "small.safetensors")
    assert [record[name] for name in ("rows", "views", "dim")] == [COUNT, 1, 4]
    names = {path.name for path in (folder / "out").iterdir()} - {".lock"}
    shards = {shard["file"]: shard["sha256"] for shard in record["shards"]}
    assert names == {*shards, "places.npy", "features.json"}
    assert shards == {name: sha256(folder / "out" / name) for name in shards}


def test_texts(folder, write):
    write("out", "name", "words", views=THREE)
    params = read_frozen(SMALL["words"], folder / "words.safetensors").params
    tokens = np.zeros((2, 8), np.int32)
    tokens[0, :2], tokens[1, 0] = (2, 3), 4
    expected = SMALL["words"].features(params, tokens)
    for view in opened(folder / "out").views:
        found, _ = everything(view)
        np.testing.assert_allclose(found, np.tile(expected, (COUNT // 2, 1)), atol=1e-6)
    record = json.loads((folder / "out" / "features.json").read_text())
    assert record["tokenizer_sha256"] == sha256(folder / "tokenizer.json")
    with pytest.raises(ConfigError, match="of texts differ in place alone"):
        write("again", "name", "words", views=ViewSettings(2))


def test_views_are_drawn_by_seed_row_and_view_alone(folder, write, monkeypatch):
    write("plain")
    write("three", views=THREE)
    write("other", views=ViewSettings(3, jitter_m=500.0, seed=8))
    three, other = opened(folder / "three"), opened(folder / "other")
    assert isinstance(three, Views)
    features, places = zip(*map(everything, three.views), strict=True)
    plain, lonlat = everything(opened(folder / "plain"))
    np.testing.assert_array_equal(features[0], plain)
    np.testing.assert_array_equal(places[0], lonlat)
    for kinds in (features, places):
        assert len({row.tobytes() for kind in kinds for row in kind}) == 3 * COUNT
    chord = np.linalg.norm(unit_vector(places[1]) - unit_vector(lonlat), axis=1)
    assert (1000 * EARTH_RADIUS_KM * chord < 500 + 3).all()  # + 3: float32 degrees
    assert not np.array_equal(everything(other.views[1])[0], features[1])
    monkeypatch.setattr(module, "BATCHES", 1)  # other shards
    write("more", views=ViewSettings(4, jitter_m=500.0, seed=7))
    for view, expected in zip(opened(folder / "more").views, features, strict=False):
        np.testing.assert_array_equal(everything(view)[0], expected)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_stopped_run_goes_on_to_the_same_bytes(folder, write, monkeypatch, done):
    write("whole", views=THREE)
    save, made = module.Shards.save, []

    def stop(self, number, *arrays):
        if number == done:
            raise KeyboardInterrupt
        save(self, number, *arrays)

    with monkeypatch.context() as patch:
        patch.setattr(module.Shards, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            write("out", views=THREE)
    with pytest.raises(DataError, match=r"no .*features\.json: `earth-embed features` writes it l"):
        opened(folder / "out")
    if done:  # half a shard, as a killed process leaves it
        (folder / "out" / f".0000{done}.123.array_record").write_bytes(b"half")
    monkeypatch.setattr(
        module.Shards,
        "save",
        lambda self, number, *arrays: (made.append(number), save(self, number, *arrays)),
    )
    for _ in range(2):  # the second time nothing is left to be made
        write("out", views=THREE)
        assert made == [*range(done, -(-COUNT // ROWS))]
        assert contents(folder / "out") == contents(folder / "whole")


def test_killed_at_random_moments_and_done_again(folder, write):
    def make(name):
        (folder / name).mkdir()
        return folder / name

    assert_survives(make, lambda output: write(output.name, views=THREE), tries=1)


@pytest.mark.parametrize("rule", [None, "1 in 10 blocks of 0.25°"])
@pytest.mark.parametrize("unfinished", [False, True])
def test_a_folder_of_an_older_hold_out_rule_is_brought_up_to_date(
    folder, write, monkeypatch, rule, unfinished
):
    """Features do not depend on the rule: none is encoded again."""
    write("out", views=THREE)
    whole = contents(folder / "out")
    path = folder / "out" / "features.json"
    record = json.loads(path.read_text())
    assert record.pop("holdout") == HOLDOUT
    if rule:
        record["holdout"] = rule
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="the same `earth-embed features` command brings it up to"):
        opened(folder / "out")
    with pytest.raises(DataError, match="views = 3, not 1"):
        write("out")
    assert json.loads(path.read_text()) == record  # other settings change nothing
    monkeypatch.setattr(module.Shards, "save", lambda *_: pytest.fail("encoded again"))
    if unfinished:  # a disk that was full left the old record as it was
        with limited_file_size(100), pytest.raises(EarthEmbedError, match="cannot write"):
            write("out", views=THREE)
        assert json.loads(path.read_text()) == record
    assert write("out", views=THREE) == COUNT
    assert contents(folder / "out") == whole
    assert len(opened(folder / "out")) == COUNT


def test_two_processes_make_the_folder_of_one(folder, tmp_path):
    arguments = [
        *("features", "small", folder / "small.safetensors", folder / "places.csv"),
        *("--field", "places.npy", "--batch-size", 8, "--views", 2, "--jitter-m", 100, "-o"),
    ]
    with (
        processes(1, 1, "-c", COMMAND, *arguments, tmp_path / "one") as alone,
        processes(2, 1, "-c", COMMAND, *arguments, tmp_path / "two") as started,
    ):
        ended = ends(started) + ends(alone)
    assert [status for status, *_ in ended] == [0, 0, 0], ended
    assert [out.count("wrote 40 rows") for _, out, _ in ended] == [1, 0, 1]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_other_settings_are_refused(folder, write, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module.Shards, "finish", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write("out")
    monkeypatch.setitem(PUBLISHED, "other", SMALL["small"])
    shutil.copy(folder / "small.safetensors", folder / "other.safetensors")
    difference = "begun with encoder = 'small', not 'other'; weights = 'small.safetensors', not"
    for _ in range(2):  # begun, then whole
        with pytest.raises(DataError, match=difference):
            write("out", name="other")
        with pytest.raises(DataError, match="views = 1, not 3"):
            write("out", views=THREE)
        write("out")


def test_what_others_wrote_is_never_touched(folder, write):
    (folder / "mine").mkdir()
    (folder / "mine" / "holidays.txt").write_text("")
    with pytest.raises(DataError, match=r"holidays\.txt is there already: name another output"):
        write("mine")
    (folder / "mine" / "features.json").write_text("[1]")
    with pytest.raises(DataError, match=r"features\.json is no record of features: found list"):
        write("mine")
    assert len([*(folder / "mine").iterdir()]) == 2
    with pytest.raises(DataError, match=r"places\.csv is a file: name another output"):
        write("places.csv")


def test_a_full_disk_loses_nothing(folder, write):
    """The settings fit, a shard does not."""
    with limited_file_size(2000), pytest.raises(EarthEmbedError, match="cannot write"):
        write("out")
    assert not (folder / "out" / "features.json").exists()
    assert write("out") == COUNT


def test_features_must_be_finite(folder, write, monkeypatch):
    broken = lambda *_: lambda samples, rows: np.full((len(rows), 1, 4), np.nan)  # noqa: E731
    monkeypatch.setattr(module, "encode_views", broken)
    with pytest.raises(DataError, match="shard 0: the features of its row 0 are not finite"):
        write("out")


def test_splits_follow_each_other(folder, write, monkeypatch, rng):
    images, lonlat = np.load(folder / "places.npy"), random_places(rng, COUNT)
    halves = {"train": slice(0, 25), "validation": slice(25, COUNT)}
    monkeypatch.setattr(
        module, "open_tfds", lambda d, f, split, *_: ArraySource(*(a[halves[split]] for a in both))
    )
    both = (images, lonlat)
    write("out", dataset="chips", views=THREE)
    write("table", views=THREE)
    for view in range(3):
        ours, theirs = (opened(folder / name).views[view] for name in ("out", "table"))
        np.testing.assert_array_equal(everything(ours)[0], everything(theirs)[0])
    np.testing.assert_array_equal(everything(opened(folder / "out"))[1], lonlat.astype(np.float32))


def test_samples_are_read_ahead(folder):
    """While one piece is at work the next is read, and no further one."""
    read = []

    class Recorded(ArraySource):
        def gather(self, indices):
            read.append(int(indices[0]))
            return super().gather(indices)

    source = Recorded(np.zeros((8, 1), np.float32), np.zeros((8, 2)))
    pieces = module._pieces([source], 2)
    for seen, (piece, examples) in enumerate(module._read_ahead(pieces), 1):
        assert len(examples["sample"]) == 2
        assert piece.indices[0] == 2 * (seen - 1)
        assert seen <= len(read) + 1 <= seen + 2
    assert read == [0, 2, 4, 6]


def test_the_command(folder, capsys):
    files = [str(folder / "small.safetensors"), str(folder / "places.csv")]
    rest = ["--field", "places.npy", "-o", str(folder / "out"), "--batch-size"]
    main(["features", "small", *files, *rest, "8", "--views", "2", "--crop", "0.5", "--no-flips"])
    assert f"wrote {COUNT} rows to {folder / 'out'}; train" in capsys.readouterr().out
    record = json.loads((folder / "out" / "features.json").read_text())
    assert [record[k] for k in ("views", "crop", "flips", "blur")] == [2, 0.5, False, 2.0]
    for command, message in {
        ("small", "7"): "batch_size = 7: expected a multiple of 8 devices",
        ("large", "8"): "no encoder 'large': expected one of resnet18_sentinel2, ",
        ("words", "8"): "expected a BERT of transformers (embeddings.word_embeddings.weight, …)",
        ("small", "8", "--views", "0"): "the views.views = 0: expected a number ≥ 1",
        (
            *("small", "8", "--views", "2"),
            *("--crop", "1", "--no-flips", "--blur", "0"),
        ): "the views.views = 2: expected 1, as all views would be the same",
    }.items():
        with pytest.raises(SystemExit):
            main(["features", command[0], *files, *rest, *command[1:]])
        assert message in capsys.readouterr().err
    rest[3] = str(folder / "places.csv" / "out")
    with pytest.raises(SystemExit):
        main(["features", "small", *files, *rest, "8"])
    assert "cannot write" in capsys.readouterr().err
