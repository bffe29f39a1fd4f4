"""The tiny data sets, built once for the session."""

import functools

import pytest

from earth_embed.data import tfds_source


@pytest.fixture(scope="session")
def read_towns_once():
    """Two builders read all of GeoNames; the tests need it read only once."""
    from earth_embed.data.datasets import continents, geonames, land_labels, toponyms

    load = functools.cache(geonames.load_towns)
    with pytest.MonkeyPatch.context() as patch:
        for module in (continents, geonames, land_labels, toponyms):
            patch.setattr(module, "load_towns", load)
        yield load


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, read_towns_once):
    """A data directory that holds the tiny configuration of every data set."""
    folder = tmp_path_factory.mktemp("tfds")
    for name in tfds_source.OURS:
        tfds_source.prepare(f"{name}/tiny", folder)
    return folder
