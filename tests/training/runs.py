"""Runs for the tests: a comparison of their states and records, and one experiment on tables."""

import json
import os
import subprocess
import sys
import textwrap
from functools import partial

import jax
import numpy as np

from earth_embed.config import (
    Checkpoints,
    Experiment,
    Input,
    LocationConfig,
    Modality,
    Pair,
    Siren,
    SphericalHarmonics,
)
from earth_embed.step.mesh import build_mesh, replicated
from earth_embed.step.state import Updater
from earth_embed.step.towers import Towers
from earth_embed.training.accounting import MEASURED
from earth_embed.training.feed import one_sample_each
from tests.conftest import random_places

SMALL = Experiment(
    "small",
    (Modality("series", "memory", "sample", "series", width=8, depth=1),),
    Pair(),
    LocationConfig(SphericalHarmonics(4), Siren((16, 16)), features=8),
    input=Input(loader="python"),
    checkpoints=Checkpoints(save_every=2, validate_every=2, log_every=1, validation_examples=16),
    batch_size=48,
    steps=4,
)
"""Trains in seconds on the fixture `sources`."""


def assert_same_state(a, b):
    """Every leaf, to the last bit: parameters, moments and the step."""
    a, b = (jax.tree_util.tree_leaves_with_path(jax.device_get(state)) for state in (a, b))
    for (path, x), (other, y) in zip(a, b, strict=True):
        assert path == other
        np.testing.assert_array_equal(x, y, err_msg=jax.tree_util.keystr(path))


def assert_same_update(a, b, towers, learning_rate=1e-4):
    """Two states after the same updates, to rounding, by what is well conditioned.

    Adam moves an entry by the learning rate even where its gradient is the noise of rounding. So
    the first moments are compared by the largest of their tower, and the parameters only where
    the moment is far above that noise. After three steps of small towers 2e-7 of the largest was
    found, with AVX-512, AVX2 and SSE4.2.
    """
    for tower in towers:
        (mu, params), (other_mu, other_params) = (
            (_vector(state.moments[tower][0].mu), _vector(state.params[tower])) for state in (a, b)
        )
        largest = np.abs(mu).max()
        np.testing.assert_allclose(mu, other_mu, rtol=0, atol=1e-5 * largest, err_msg=tower)
        clear = np.abs(mu) >= 1e-3 * largest
        np.testing.assert_allclose(
            params[clear], other_params[clear], rtol=0, atol=0.01 * learning_rate, err_msg=tower
        )


def _vector(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.device_get(tree))])


def state_like(experiment, sources):
    """The shapes, dtypes and shardings that `restore_state` asks for."""
    towers = Towers(experiment)
    samples = one_sample_each({name: sources[name].train for name in towers.names})
    shapes = jax.eval_shape(partial(Updater(towers).init, samples))
    everywhere = replicated(build_mesh())
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=everywhere), shapes
    )


def metrics(run_dir):
    """The lines of metrics.jsonl, without what is a matter of time."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]


def checkpoint_steps(run_dir):
    """The names in the run's folder of checkpoints; unfinished ones have longer names."""
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


def manifests(run_dir):
    """The names of the manifests of the run's checkpoints."""
    return sorted(path.name for path in (run_dir / "checkpoints.sha256").iterdir())


def contents(folder):
    """Every file below a folder and its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def write_experiment(folder, modalities=("a", "b"), **settings):
    """Writes tables with features, and an experiment on them that needs no TensorFlow.

    Args:
        folder: Where to write; it holds {NAME}.csv, {NAME}.npy and tiny.py then.
        modalities: Names of the modalities.
        settings: Python source of further fields of the Experiment.

    Returns:
        The experiment's file.
    """
    rng = np.random.default_rng(0)
    for i, name in enumerate(modalities):
        lonlat = random_places(rng, 300 - 60 * i)
        np.savetxt(folder / f"{name}.csv", lonlat, delimiter=",", header="lon,lat", comments="")
        np.save(folder / f"{name}.npy", rng.normal(size=(len(lonlat), 6)).astype(np.float32))
    fields = {
        "method": "Salt(order='shuffled')",
        "location": "LocationConfig(SphericalHarmonics(4), Siren((16, 16), dropout=0.1), 8)",
        "checkpoints": "Checkpoints(save_every=4, validate_every=8, log_every=1)",
        "batch_size": "32",
        "steps": "40",
    } | settings
    path = folder / "tiny.py"
    path.write_text(
        textwrap.dedent(f"""\
            from earth_embed.config import *

            def modality(name):
                return Modality(name, f"{folder}/{{name}}.csv", f"{{name}}.npy", width=8, depth=1)

            experiment = Experiment(
                "tiny",
                tuple(map(modality, {modalities})),
                input=Input(loader="python"),
            """)
        + "".join(f"    {name}={value},\n" for name, value in fields.items())
        + ")\n"
    )
    return path


def start(*arguments, prefix=()):
    """Starts the command `earth-embed` as a process of its own; `prefix` is a shell to start it."""
    command = [sys.executable, "-m", "earth_embed", *map(str, arguments)]
    return subprocess.Popen(
        [*prefix, *prefix[:1], *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "400"},
    )
