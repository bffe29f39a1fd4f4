import itertools
import threading

import numpy as np
import pytest

from earth_embed.config import Input
from earth_embed.data.order import Draw, batch_indices
from earth_embed.data.pipeline import Batches
from earth_embed.data.sources import ArraySource, encode_text, in_memory
from earth_embed.errors import DataError
from earth_embed.hashing import hash_string
from tests.conftest import make_source

LOADERS = ["python", "tf.data"]
# protobuf and ml_dtypes warn from within TensorFlow's own import
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:tensorflow.*")


@pytest.mark.parametrize("loader", LOADERS)
def test_batches_are_those_that_the_order_names(loader):
    source = make_source("series", 40, 0)
    batches = Batches({"a": source}, Input(loader=loader), seed=5)
    for step in range(3, 9):
        got = batches.read({"a": Draw(step, 16)})["a"]
        index = batch_indices(40, 16, 5 ^ hash_string("a"), step)
        np.testing.assert_array_equal(got["sample"], source.samples[index])
        np.testing.assert_array_equal(got["lonlat"], source.lonlat[index])
        assert got["lonlat"].dtype == np.float32


def test_modalities_of_one_size_have_orders_of_their_own():
    source = make_source("series", 40, 0)
    batches = Batches({"a": source, "b": source}, Input(loader="python"), seed=0)
    read = batches.read({"a": Draw(0, 40), "b": Draw(0, 40)})
    a, b = read["a"]["sample"], read["b"]["sample"]
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(np.sort(a, axis=0), np.sort(b, axis=0))


@pytest.mark.parametrize("loader", LOADERS)
def test_a_stream_starts_anywhere_and_modalities_alternate(loader):
    sources = {"a": make_source("image", 40, 0), "b": make_source("text", 30, 1)}
    schedule = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("a", 2), ("b", 2), ("b", 3)]

    def read(part):
        batches = Batches(sources, Input(loader=loader), seed=1)
        return [batches.read({name: Draw(b, 10)})[name]["sample"] for name, b in part]

    whole, tail = read(schedule), read(schedule[3:])
    for got, expected in zip(tail, whole[3:], strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_read_so_many_batches_at_the_same_time(loader, workers):
    together = threading.Barrier(workers)
    first = threading.Semaphore(0)  # tf.data's stream reads its first batch alone

    class Meeting(ArraySource):
        def gather(self, indices):
            if loader == "python" or not first.acquire(blocking=False):
                together.wait(timeout=60)
            return super().gather(indices)

    plain = make_source("series", 40, 0)
    source = Meeting(plain.samples, plain.lonlat)
    if loader == "tf.data":
        first.release()
    settings = Input(loader=loader, workers=workers)
    batches = Batches({"a": source}, settings, seed=5)
    for step in range(9):
        got = batches.read({"a": Draw(step, 16)})["a"]["sample"]
        index = batch_indices(40, 16, 5 ^ hash_string("a"), step)
        np.testing.assert_array_equal(got, plain.samples[index])
    together.abort()  # what is read ahead need not wait for more


def test_processes_read_slices_of_one_batch():
    sources = {"a": make_source("series", 64, 0)}
    parts = [
        Batches(sources, Input(loader="python"), 0, process, 4).read({"a": Draw(0, 32)})["a"]
        for process in range(4)
    ]
    whole = Batches(sources, Input(loader="python"), 0).read({"a": Draw(0, 32)})["a"]
    for key in whole:
        np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), whole[key])


def test_only_what_is_drawn_is_read():
    class Forbidden(ArraySource):
        def gather(self, indices):
            raise AssertionError("an idle modality was read")

    idle = make_source("series", 20, 0)
    batches = Batches(
        {"a": make_source("series", 20, 0), "b": Forbidden(idle.samples, idle.lonlat)},
        Input(loader="python"),
        0,
    )
    for step in itertools.islice(itertools.count(), 4):
        assert set(batches.read({"a": Draw(step, 8)})) == {"a"}


@pytest.mark.parametrize("loader", LOADERS)
def test_too_few_examples(loader):
    batches = Batches({"a": make_source("series", 20, 0)}, Input(loader=loader), 0)
    with pytest.raises(DataError, match="20 examples are fewer than one batch of 32"):
        batches.read({"a": Draw(0, 32)})


def test_array_source_checks_its_places():
    with pytest.raises(DataError, match="3 samples but 2 places"):
        ArraySource(np.zeros((3, 1)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="lat must lie in"):
        ArraySource(np.zeros((1, 1)), np.array([[10.0, 100.0]]))
    wrapped = ArraySource(np.zeros((1, 1)), np.array([[350.0, 0.0]]))
    np.testing.assert_allclose(wrapped.lonlat, [[-10, 0]])
    assert in_memory(wrapped) is wrapped


def test_text_is_cut_and_padded():
    encoded = encode_text(["abc", "Zürich", ""], 4)
    assert encoded.shape == (3, 4)
    assert bytes(encoded[0]) == b"abc\0"
    assert bytes(encoded[1]) == "Zür".encode()
    assert bytes(encoded[2]) == b"\0" * 4
