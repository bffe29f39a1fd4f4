import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from earth_embed.coordinates import EARTH_RADIUS_KM, block_of
from earth_embed.data.sources import encode_text, in_memory
from earth_embed.data.tfds_source import OURS, open_tfds, prepare, read_columns
from earth_embed.errors import CoordinateError, DataError, EarthEmbedError

tfds = pytest.importorskip("tensorflow_datasets")

from earth_embed.data.datasets import (  # noqa: E402
    blue_marble,
    geonames,
    land_labels,
    linke_turbidity,
    rasters,
    toponyms,
)
from earth_embed.data.datasets.places import cell_of  # noqa: E402

LONLAT = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
FIELDS = {"blue_marble": "image", "toponyms": "text", "linke_turbidity": "series"}


def lonlat_of(name, split, folder):
    columns = read_columns(prepare(f"{name}/tiny", folder), (), split)
    return np.stack([columns["lon"], columns["lat"]], axis=1)


@pytest.fixture(scope="module")
def places(tiny):
    """The places of each tiny data set, by name and split."""
    return {
        name: {split: lonlat_of(name, split, tiny) for split in prepare(f"{name}/tiny", tiny).info.splits}
        for name in OURS
    }


class Conventions(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks of a builder, on the tiny configuration.

    The counts follow from integer hashes alone: another count is another data set.
    """

    EXAMPLE_DIR = "/"  # Nothing is downloaded.
    BUILDER_CONFIG_NAMES_TO_TEST = ("tiny",)


@pytest.mark.usefixtures("read_towns_once")
class TestBlueMarble(Conventions):
    DATASET_CLASS = blue_marble.BlueMarble
    SPLITS = {"train": 1, "validation": 1}


@pytest.mark.usefixtures("read_towns_once")
class TestToponyms(Conventions):
    DATASET_CLASS = toponyms.Toponyms
    SPLITS = {"train": 1, "validation": 1}


@pytest.mark.usefixtures("read_towns_once")
class TestLinkeTurbidity(Conventions):
    DATASET_CLASS = linke_turbidity.LinkeTurbidity
    SPLITS = {"train": 1, "validation": 1}


@pytest.mark.usefixtures("read_towns_once")
class TestLandLabels(Conventions):
    DATASET_CLASS = land_labels.LandLabels
    SPLITS = {"validation": 1, "test": 1}


del Conventions  # The base is no test.
