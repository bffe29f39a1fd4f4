"""The modules of experiments/paper, and small tables of random features in place of real ones."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from tests.conftest import random_places

PAPER = Path(__file__).parents[2] / "experiments" / "paper"
NAMES = ("common", "list", "small_data", "small", "tables", "sweep", "figures", "choose")


@pytest.fixture(scope="session")
def paper():
    """The modules, which are no package: `main` is what `python experiments/paper` runs."""
    sys.path.insert(0, str(PAPER))
    try:
        modules = {name: importlib.import_module(name) for name in NAMES}
        spec = importlib.util.spec_from_file_location("paper_main", PAPER / "__main__.py")
        modules["main"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules["main"])
    finally:
        sys.path.remove(str(PAPER))
        for name in NAMES:
            sys.modules.pop(name, None)
    return SimpleNamespace(**modules)


@pytest.fixture(scope="session")
def tables(paper, tmp_path_factory):
    """What small_data.py would write."""
    import rasterio
    from affine import Affine

    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("paper") / "data"
    folder.mkdir()
    for name, features in paper.small_data.FEATURES.items():
        lonlat = random_places(rng, 800)
        np.save(folder / f"{name}.npy", rng.normal(size=(800, features)).astype(np.float32))
        table = pyarrow.table({"lon": lonlat[:, 0], "lat": lonlat[:, 1]})
        parquet.write_table(table, folder / f"{name}.parquet")
    profile = {"driver": "GTiff", "width": 36, "height": 18, "dtype": "float32", "count": 3}
    transform = Affine(10, 0, -180, 0, -10, 90)
    with rasterio.open(
        folder / "climate.tif", "w", transform=transform, crs="EPSG:4326", **profile
    ) as file:
        file.write(rng.uniform(1, 9, (3, 18, 36)).astype(np.float32))
    return folder
