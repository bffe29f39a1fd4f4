"""Batches on the host, read ahead by tf.data or by threads without TensorFlow.

Each modality has its own stream of consecutive batches, opened at the first batch that is needed.
`order` alone decides which examples a batch holds, so both loaders give the same batches, and a
stream can start at any batch at no cost.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from earth_embed.config import Input
from earth_embed.data.order import Draw, batch_indices, steps_per_epoch, view_numbers
from earth_embed.data.sources import Examples, Source, Views
from earth_embed.errors import require
from earth_embed.hashing import hash_string

Read = Callable[[int], Examples]
"""Batch number → examples."""


class Batches:
    """The batches of a run, modality by modality, in any schedule."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        settings: Input,
        seed: int,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        """Opens nothing yet: a modality's stream opens at its first `read`.

        This process reads part number `part` of the `parts` equal parts of each batch; see
        `share_of_process`.
        """
        self.sources = sources
        self._settings, self._seed = settings, seed
        self._part, self.parts = part, parts
        self._streams: dict[str, Iterator[Examples]] = {}

    def read(self, draws: Mapping[str, Draw]) -> dict[str, Examples]:
        """This process's part of each drawn modality's next batch.

        A modality's batch numbers must rise by one from call to call.
        """
        for name, draw in draws.items():
            if name not in self._streams:
                self._streams[name] = self._open(name, draw)
        return {name: next(self._streams[name]) for name in draws}

    def describe(self, draws: Mapping[str, Draw]) -> str:
        """Describes a batch of all processes, and which of its examples are not finite."""
        return "; ".join(self._describe(name, draw) for name, draw in draws.items())

    def _describe(self, name: str, draw: Draw) -> str:
        source = self.sources[name]
        per_epoch = steps_per_epoch(len(source), draw.size)
        epoch, number = divmod(draw.batch, per_epoch)
        seed = self._seed_of(name)
        indices = batch_indices(len(source), draw.size, seed, draw.batch)
        finite = np.ones(len(indices), bool)
        for values in _gather(source, indices, seed, epoch).values():
            if np.issubdtype(values.dtype, np.floating):
                finite &= np.isfinite(values).reshape(len(indices), -1).all(axis=1)
        bad = "" if finite.all() else f", of which not finite: {_first(indices[~finite])}"
        return (
            f"{name}, batch {number + 1} of {per_epoch} in epoch {epoch + 1}, examples "
            f"{_first(indices)}{bad}"
        )

    def _seed_of(self, name: str) -> int:
        return self._seed ^ hash_string(name)  # modalities of equal size differ in order

    def _open(self, name: str, first: Draw) -> Iterator[Examples]:
        source, seed = self.sources[name], self._seed_of(name)
        indices = partial(
            batch_indices, len(source), first.size, seed, part=self._part, parts=self.parts
        )
        per_epoch = steps_per_epoch(len(source), first.size)
        indices(first.batch)  # raises here, not in a worker, if the batch cannot be divided

        def read(batch: int) -> Examples:
            return _gather(source, indices(batch), seed, batch // per_epoch)

        stream = tf_data_stream if self._settings.loader == "tf.data" else thread_stream
        return stream(read, first.batch, self._settings.prefetch, self._settings.workers)


def _gather(source: Source, indices: np.ndarray, seed: int, epoch: int) -> Examples:
    """Reads examples by index, in this epoch's views if the source has several."""
    if isinstance(source, Views):
        return source.gather_views(indices, view_numbers(indices, len(source.views), seed, epoch))
    return source.gather(indices)


def _first(indices: np.ndarray) -> str:
    """The first few indices, as text."""
    return ", ".join([*map(str, indices[:5]), *(["…"] if len(indices) > 5 else [])])


def thread_stream(read: Read, first: int, prefetch: int, workers: int) -> Iterator[Examples]:
    """Batches first, first + 1, …, read ahead by threads."""
    with ThreadPoolExecutor(workers, thread_name_prefix="earth_embed_input") as pool:
        ahead = deque(pool.submit(read, first + i) for i in range(prefetch + workers - 1))
        for batch in itertools.count(first + prefetch + workers - 1):
            ahead.append(pool.submit(read, batch))
            yield ahead.popleft().result()


def tf_data_stream(read: Read, first: int, prefetch: int, workers: int) -> Iterator[Examples]:
    """Batches first, first + 1, …, read ahead by tf.data."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise require("tensorflow", "data", 'input.loader = "tf.data"') from error
    tf.config.set_visible_devices([], "GPU")  # the accelerator is JAX's
    start = read(first)  # the graph below needs the shapes and types of a batch
    kinds = {name: (value.shape, value.dtype) for name, value in sorted(start.items())}
    failures: dict[int, Exception] = {}

    def arrays(batch: np.int64) -> list[np.ndarray]:
        try:
            examples = read(int(batch))
        except Exception as error:  # TensorFlow would wrap it in an error of its own, a page long
            failures[int(batch)] = error
            return [np.zeros(*kind) for kind in kinds.values()]
        return [examples[name] for name in kinds]

    def load(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.numpy_function(arrays, [batch], [dtype for _, dtype in kinds.values()])
        for value, (shape, _) in zip(values, kinds.values(), strict=True):
            value.set_shape(shape)
        return dict(zip(kinds, values, strict=True))

    dataset = tf.data.Dataset.range(first + 1, np.iinfo(np.int64).max)
    dataset = dataset.map(load, num_parallel_calls=workers, deterministic=True).prefetch(prefetch)
    options = tf.data.Options()
    # The default is one thread per core, but a thread that waits for a disk needs no core.
    options.threading.private_threadpool_size = workers + 1
    ahead = dataset.with_options(options).as_numpy_iterator()
    yield start
    del start  # a batch of chips is hundreds of megabytes
    for batch, examples in enumerate(ahead, first + 1):
        if batch in failures:
            raise failures[batch]
        yield examples
