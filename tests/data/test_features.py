"""A folder of features as a modality: its splits, its views in training, and what is refused."""

import json
import os
import shutil
import signal

import numpy as np
import pytest

from earth_embed.config import Input, Modality
from earth_embed.config.files import load_experiment
from earth_embed.data import open_sources
from earth_embed.data.features import open_features
from earth_embed.data.order import Draw, batch_indices, view_numbers
from earth_embed.data.pipeline import Batches
from earth_embed.data.sources import ArraySource, Views, in_memory
from earth_embed.data.tables import open_table
from earth_embed.errors import DataError, Interrupted
from earth_embed.features.shards import Shards
from earth_embed.hashing import epoch_permutation, hash_string
from earth_embed.training.loop import train
from tests.conftest import random_places
from tests.damage import damages, do_damage
from tests.fuzzing import fuzz
from tests.training.runs import assert_same_state, write_experiment

ROWS, VIEWS, DIM, SHARD = 300, 3, 6, 128


@pytest.fixture
def places(rng):
    """(N, K, 2): the augmented views lie 0.2° away, in other cells."""
    plain = random_places(rng, ROWS).clip(-170, 170).astype(np.float32)
    moved = plain[:, None] + np.array([[0], [0.2], [-0.2]], np.float32)[None]
    return moved.clip([-180, -89], [180, 89]).astype(np.float32)


@pytest.fixture
def features(rng):
    return rng.normal(size=(ROWS, VIEWS, DIM)).astype(np.float32)


@pytest.fixture
def folder(tmp_path, places, features):
    shards = Shards(tmp_path / "s2", {"rows": ROWS, "views": VIEWS, "dim": DIM}, 3)
    with shards.begun():
        for number in range(3):
            part = slice(number * SHARD, (number + 1) * SHARD)
            shards.save(number, places[part], features[part])
        shards.finish()
    return tmp_path / "s2"


def opened(folder, split="all"):
    return open_features(folder / "features.json", "features", split)


def test_a_round_trip(folder, places, features, rng):
    source = opened(folder)
    indices, views = rng.permutation(ROWS), rng.integers(0, VIEWS, ROWS)
    for one in (source, in_memory(source)):
        plain, mixed = one.gather(indices), one.gather_views(indices, views)
        np.testing.assert_array_equal(plain["sample"], features[indices, 0])
        np.testing.assert_array_equal(plain["lonlat"], places[indices, 0])
        np.testing.assert_array_equal(mixed["sample"], features[indices, views])
        np.testing.assert_array_equal(mixed["lonlat"], places[indices, views])
        assert {values.dtype for values in mixed.values()} == {np.dtype(np.float32)}


def test_the_plain_view_holds_out_the_places_of_a_table(folder, places, tmp_path):
    text = "\n".join(f"{lon!r},{lat!r}" for lon, lat in places[:, 0].astype(float).tolist())
    (tmp_path / "table.csv").write_text(f"lon,lat\n{text}\n")
    for split in ("train", "validation", "all"):
        table = open_table(tmp_path / "table.csv", "lon", split, 8)
        found = opened(folder, split)
        everything = np.arange(len(found))
        np.testing.assert_array_equal(found.gather(everything)["lonlat"], table.lonlat)
    with pytest.raises(DataError, match="split = 'test': expected one of train, validation, all"):
        opened(folder, "test")


def test_exchanged_shards_are_noticed(folder):
    """array_record fills its files up: these two are of one size."""
    first, second = folder / "00000.array_record", folder / "00001.array_record"
    assert first.stat().st_size == second.stat().st_size
    first.rename(folder / "third")
    second.rename(first)
    (folder / "third").rename(second)
    with pytest.raises(DataError, match=r"s2: expected row 3 at \[.*\], found \["):
        opened(folder).gather(np.array([290, 3]))


def test_epochs_read_views_of_their_own():
    indices = np.arange(6000)
    first, second, other = (view_numbers(indices, 3, *of) for of in [(5, 0), (5, 1), (6, 0)])
    for views in (first, second, other):
        np.testing.assert_allclose(np.bincount(views) / len(indices), 1 / 3, atol=0.03)
    for a, b in ((first, second), (first, other)):
        np.testing.assert_allclose((a == b).mean(), 1 / 3, atol=0.03)
    # And say nothing of the order.
    early = first[epoch_permutation(len(indices), 5, 0)][:2000]
    np.testing.assert_allclose(np.bincount(early) / 2000, 1 / 3, atol=0.05)


def test_batches_read_views_whatever_the_processes(folder, features):
    sources = {"a": opened(folder)}
    seed, per_epoch = 5 ^ hash_string("a"), ROWS // 64
    for step in (0, per_epoch - 1, per_epoch, 3 * per_epoch + 1):
        parts = [
            Batches(sources, Input(loader="python"), 5, part, 2).read({"a": Draw(step, 64)})["a"]
            for part in range(2)
        ]
        indices = batch_indices(ROWS, 64, seed, step)
        views = view_numbers(indices, VIEWS, seed, step // per_epoch)
        found = np.concatenate([part["sample"] for part in parts])
        np.testing.assert_array_equal(found, features[indices, views])


def experiment_on(folder, path):
    settings = {
        "method": "Pair()",
        "location": "LocationConfig(SphericalHarmonics(4), Siren((8,)), 8)",
        "checkpoints": "Checkpoints(save_every=8, validate_every=8, log_every=4)",
    }
    path = write_experiment(path, ("a",), batch_size="64", steps="8", **settings)
    text = path.read_text().replace('f"{name}.npy"', '"features"')
    path.write_text(text.replace(f"{path.parent}/{{name}}.csv", f"{folder}/features.json"))
    return load_experiment(path)


def test_training_reads_views_and_resumes_exactly(folder, tmp_path):
    class Stopping(ArraySource):
        """Asks the process to stop when it is read for the sixth time."""

        def gather(self, indices):
            reads.append(1)
            if len(reads) == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().gather(indices)

    experiment = experiment_on(folder, tmp_path)
    sources = open_sources(experiment)
    whole = train(experiment, tmp_path / "whole", sources)
    reads = []
    plain, *others = sources["a"].train.views
    first = Stopping(plain.samples, plain.lonlat)
    stopping = {"a": sources["a"]._replace(train=Views((first, *others)))}
    with pytest.raises(Interrupted, match=r"stopped at step [1-7] of 8"):
        train(experiment, tmp_path / "parts", stopping)
    parts = train(experiment, tmp_path / "parts", sources)
    assert_same_state(parts, whole)


def test_what_is_not_whole_is_refused(folder):
    record = json.loads((folder / "features.json").read_text())

    def refused(message):
        with pytest.raises(DataError, match=message):
            opened(folder)

    def write(**changes):
        (folder / "features.json").write_text(json.dumps(record | changes))

    write(rows=301)
    refused("expected 301 rows, found 300 in its shards")
    write(dim=7)
    with pytest.raises(DataError, match="expected 108 bytes in row 0, found 96"):
        opened(folder).gather(np.arange(1))
    for rule in (None, "1 in 10 blocks of 0.25°"):
        write(holdout=rule)
        refused(
            rf"made when other places were held out \({rule or 'no rule'} is recorded, expected "
            "'1 in 10 equal-area cells of 25 km'.*the same `earth-embed features` command"
        )
    write(shards=None)
    refused("expected rows, views, dim and shards")
    write(places_sha256="0")
    refused(r"places\.npy: expected SHA-256 0, found ")
    write()
    shard = folder / "00001.array_record"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    refused(rf"00001\.array_record: expected {len(content):,} bytes, found {len(content) - 1:,}")
    shard.unlink()
    refused(r"00001\.array_record: expected .* bytes, found no such file")
    middle = len(content) // 2
    shard.write_bytes(content[:middle] + bytes(8) + content[middle + 8 :])
    with pytest.raises(DataError, match="cannot be read"):
        opened(folder).gather(np.arange(ROWS))
    (folder / "features.json").unlink()
    refused("the same command finishes")
    with pytest.raises(DataError, match="has no field 'chip': expected 'features'"):
        open_features(folder / "features.json", "chip", "all")


def test_its_layer_is_the_folders_name():
    modality = Modality("chips", "features/s2_100k/features.json", "features")
    assert modality.shown_layers == {"s2_100k"}
    assert modality.is_features
    assert not modality.is_table


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("whole") / "s2"
    lonlat = np.repeat(random_places(rng, 40)[:, None], 2, axis=1).astype(np.float32)
    shards = Shards(folder, {"encoder": "small", "rows": 40, "views": 2, "dim": 3}, 2)
    with shards.begun():
        for part in (slice(0, 20), slice(20, 40)):
            values = rng.normal(size=(20, 2, 3)).astype(np.float32)
            shards.save(part.start // 20, lonlat[part], values)
        shards.finish()
    return folder


def read_all(folder):
    """All that training may read: each split's places and views."""
    found = []
    for split in ("train", "validation"):
        source = opened(folder, split)
        everything = np.arange(len(source))
        for view in range(len(source.views)):
            found += source.gather_views(everything, np.full(len(source), view)).values()
    return found


@fuzz(80, damage=damages())
def test_a_damaged_cache_gives_the_right_samples_or_one_error(damage, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "damaged", dirs_exist_ok=True)
    done = do_damage(folder, damage)
    try:
        found = read_all(folder)
    except DataError:
        return
    finally:
        shutil.rmtree(folder)
    expected = read_all(whole)
    assert len(found) == len(expected), done
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=str(done))


def test_encoding_a_whole_cache_again_compares_its_checksums(folder, places, features):
    shards = Shards(folder, {"rows": ROWS, "views": VIEWS, "dim": DIM}, 3)
    with shards.begun() as whole:
        assert whole
    path = folder / "00001.array_record"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # filler, which no read looks at
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"00001\.array_record: expected SHA-256"), shards.begun():
        pass
