"""A strict session: strict dtypes, no rank promotion, warnings are errors, 8 fake CPU devices."""

import contextlib
import functools
import os
import resource

# Tests compile far more than they compute, and the fusion emitters take half of that time. The last
# digits they round to are others than those of the compiler's defaults; no test may hang on them.
_flags = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false"
)
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_flags}"

import jax  # noqa: E402 (XLA reads its flags once)
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# How long an example takes says how busy the machine is, nothing of the code.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_machine")

from earth_embed.config import (  # noqa: E402
    Checkpoints,
    Experiment,
    Input,
    LocationConfig,
    Melt,
    Modality,
    Pair,
    Salt,
    Siren,
    SphericalHarmonics,
)
from earth_embed.data import Splits  # noqa: E402
from earth_embed.data.sources import ArraySource  # noqa: E402
from tests import fuzzing  # noqa: E402

METHODS = {"pair": Pair(), "melt": Melt(), "salt": Salt()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Notes how many examples a test tried, where the report carries it to the main process."""
    before = fuzzing.tried
    try:
        return (yield)
    finally:
        if tries := fuzzing.tried - before:
            item.user_properties.append(("tries", tries))


def pytest_terminal_summary(terminalreporter):
    reports = [r for rs in terminalreporter.stats.values() for r in rs if hasattr(r, "when")]
    properties = [dict(r.user_properties) for r in reports if r.when == "call"]
    if tries := sum(each.get("tries", 0) for each in properties):
        terminalreporter.write_line(f"tried {tries:,} hostile inputs (see EARTH_EMBED_TRIES)")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@contextlib.contextmanager
def limited_file_size(size):
    """Writing past `size` bytes of a file fails, as on a full disk.

    Not a fixture: the limit must not last while pytest writes its own progress to a long log.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def random_places(rng, count):
    """Places drawn uniformly on the sphere, (count, 2) degrees."""
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return np.stack([rng.uniform(-180, 180, count), lat], axis=1)


def make_source(kind, count, seed):
    """Samples that say something of where they are."""
    rng = np.random.default_rng(seed)
    lonlat = random_places(rng, count)
    direction = rng.normal(size=(2, 12))
    signal = np.sin(np.radians(lonlat) @ direction) + 0.1 * rng.normal(size=(count, 12))
    if kind == "image":
        pixels = np.tile(signal[:, :3].reshape(count, 1, 1, 3), (1, 16, 16, 1))
        samples = np.clip(128 + 60 * pixels + 10 * rng.normal(size=pixels.shape), 0, 255)
        return ArraySource(samples.astype(np.uint8), lonlat)
    if kind == "text":
        return ArraySource((97 + 12 * (signal + 1)).astype(np.uint8), lonlat)
    return ArraySource(signal.astype(np.float32), lonlat)


@pytest.fixture(scope="session")
def sources():
    """Three synthetic modalities of different sizes."""
    sizes = {"image": (192, 32), "text": (160, 32), "series": (128, 32)}
    return {
        name: Splits(make_source(name, train, 1), make_source(name, held_out, 2))
        for name, (train, held_out) in sizes.items()
    }


@pytest.fixture
def make_experiment():
    """A small experiment with in-memory data, by method name."""

    def make(kind="melt", modalities=("image", "text", "series"), **changes):
        names = modalities[:1] if kind == "pair" else modalities
        defaults = {
            "name": "test",
            "modalities": tuple(
                Modality(
                    name=name,
                    dataset="memory",
                    field="sample",
                    encoder=name,
                    width=8,
                    depth=1,
                    mean=128.0 if name == "image" else 0.0,
                    std=64.0 if name == "image" else 1.0,
                )
                for name in names
            ),
            "method": METHODS[kind],
            "location": LocationConfig(SphericalHarmonics(4), Siren((16, 16)), features=8),
            "input": Input(loader="python"),
            "checkpoints": Checkpoints(
                save_every=4, validate_every=4, log_every=1, validation_examples=16
            ),
            "batch_size": 48,
            "steps": 8,
        }
        return Experiment(**(defaults | changes))

    return make


@pytest.fixture(scope="session")
def read_towns_once():
    """Two builders read all of GeoNames; the tests need it read only once."""
    from earth_embed.datasets import land_labels, packaged, training_sets

    load = functools.cache(packaged.load_towns)
    with pytest.MonkeyPatch.context() as patch:
        for module in (packaged, land_labels, training_sets):
            patch.setattr(module, "load_towns", load)
        yield load


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, read_towns_once):
    """A data directory that holds the tiny configuration of every data set, built once."""
    from earth_embed.cells import ROLES
    from earth_embed.data import tfds

    folder = tmp_path_factory.mktemp("tfds")
    for name in ROLES:
        tfds.prepare(f"{name}/tiny", folder)
    return folder
