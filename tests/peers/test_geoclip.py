"""The real GeoCLIP: its released location encoder, by its own package and by an imported run."""

import numpy as np
import pytest
import torch

from earth_embed.cli import main
from earth_embed.encoders.published import geoclip as published_geoclip
from earth_embed.pretrained.encoder import load
from tests.conftest import random_places

# torch.jit.script warns that it is deprecated; the published encoder uses it.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

EDGES = [[-180, 0], [180, 0], [180, 60], [-180, 60], [0, 90], [120, 90], [-77, -90], [180, -90]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """The packaged weights, by the command that a user types."""
    run = tmp_path_factory.mktemp("runs") / "geoclip"
    main(["import", "geoclip", "--run-dir", str(run)])
    return load(run)


@pytest.fixture(scope="module")
def lonlat():
    """The globe, its seam and its poles, exact in float32."""
    places = random_places(np.random.default_rng(0), 3000)
    return np.concatenate([places, EDGES]).astype(np.float32)


@pytest.fixture(scope="module")
def theirs(geoclip_peer, lonlat):
    """The package's forward pass on (lat, lon), in float32 as it comes and in float64."""
    found = {}
    for dtype in (torch.float32, torch.float64):
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            model = geoclip_peer.LocationEncoder().eval().to(dtype)
            with torch.no_grad():
                found[dtype] = model(torch.tensor(lonlat[:, ::-1].copy(), dtype=dtype)).numpy()
        finally:
            torch.set_default_dtype(before)
    return found


def test_the_import_is_the_published_geometry(encoder):
    assert encoder.experiment.location == published_geoclip()


def test_parity_over_the_globe(encoder, lonlat, theirs):
    """Of their float64. Their own float32 is 2e-5 off, as it does not reduce its phases."""
    exact = theirs[torch.float64]
    ours = encoder(lonlat)
    assert np.abs(exact).max() > 0.05
    np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours, theirs[torch.float32], rtol=0, atol=5e-5)
    assert np.abs(ours - exact).max() < np.abs(theirs[torch.float32] - exact).max() / 10


def test_their_order_of_coordinates_and_their_seam(encoder, lonlat, theirs):
    either = np.abs(lonlat[:, 0]) <= 90
    swapped = encoder(lonlat[either, ::-1])
    assert np.abs(swapped - theirs[torch.float64][either]).max() > 1e-2
    seam = encoder([-180, 180], [0, 0])
    assert np.abs(seam[0] - seam[1]).max() > 1e-2
