"""Adding an encoding or a network takes its module and one name in `Encoding` or `Network`."""

import dataclasses
import inspect
import json
import re
import typing

import flax.linen as nn
import jax.numpy as jnp
import pytest

from earth_embed import config
from earth_embed.config.files import from_json, to_json
from earth_embed.encoders.networks.dense import NetworkModule
from earth_embed.encoders.positional.base import EncodingModule

ENCODINGS = typing.get_args(config.Encoding)
NETWORKS = typing.get_args(config.Network)
each = pytest.mark.parametrize("settings", [*ENCODINGS, *NETWORKS], ids=lambda kind: kind.__name__)


def default(settings):
    return settings((config.Wrap(),)) if settings is config.Concatenation else settings()


@each
def test_experiments_find_the_settings_in_config(settings):
    assert getattr(config, settings.__name__) is settings
    assert settings.__name__ in config.__all__


@each
def test_settings_build_the_module_beside_them(settings):
    if settings in ENCODINGS:
        module = default(settings).module(name="encoding")
        assert isinstance(module, EncodingModule)
        assert module.width >= 1
        assert module.seam in ("none", "poles", "antimeridian, poles")
    else:
        module = default(settings).module(features=5, dtype=jnp.float32, scales=1)
        assert isinstance(module, NetworkModule)
        assert module.features == 5
    assert isinstance(module, nn.Module)
    assert module.config == default(settings)
    assert type(module).__module__ == settings.__module__


@each
def test_help_explains_every_field(settings):
    source = inspect.getsource(settings)
    for field in dataclasses.fields(settings):
        assert re.search(rf'\n    {field.name}: .*\n    """', source), field.name


@each
def test_a_run_that_uses_it_is_saved_and_read(settings):
    encoding = default(settings) if settings in ENCODINGS else config.Space2Vec()
    network = default(settings) if settings in NETWORKS else config.Linear()
    experiment = config.Experiment(
        "e",
        (config.Modality("m", "d", "f"),),
        config.Pair(),
        config.LocationConfig(encoding, network),
    )
    assert from_json(json.loads(json.dumps(to_json(experiment)))) == experiment
