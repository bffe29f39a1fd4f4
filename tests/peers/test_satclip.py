"""SatCLIP-shaped checkpoints: their PyTorch forward and an imported run's."""

import dataclasses

import numpy as np
import pytest
import sympy
import torch

from earth_embed.encoders.positional.harmonics import coefficient_errors
from earth_embed.pretrained.encoder import LocationEncoder, load
from earth_embed.pretrained.imports import import_weights
from tests.conftest import random_places
from tests.pretrained.published import satclip_basis

# torch.jit.script warns that it is deprecated; the published encoder is made of it.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


@pytest.fixture(scope="module")
def lonlat():
    """The globe and the poles, exact in float32."""
    places = random_places(np.random.default_rng(0), 400)
    return np.concatenate([places, [[0, 90], [50, -90]]]).astype(np.float32)


@pytest.fixture(scope="module", params=[10, 40])
def peer(request, satclip_peer):
    torch.manual_seed(0)
    return satclip_peer.SatClip(request.param)


@pytest.fixture(scope="module")
def theirs(peer, lonlat):
    with torch.no_grad():
        return peer(torch.tensor(lonlat)).numpy()


@pytest.fixture(scope="module")
def encoder(peer, tmp_path_factory):
    """A checkpoint as Lightning writes it, imported."""
    folder = tmp_path_factory.mktemp("satclip")
    network = peer.state_dict()
    degree = int(np.sqrt(network["nnet.layers.0.weight"].shape[1]))
    state = {f"model.location.{name}": tensor for name, tensor in network.items()}
    state |= {f"model.{name}": tensor for name, tensor in network.items()}
    state["model.logit_scale"] = torch.tensor(2.66)
    settings = {"le_type": "sphericalharmonics", "pe_type": "siren", "legendre_polys": degree}
    settings["harmonics_calculation"] = "analytic"
    path = folder / "satclip.ckpt"
    torch.save({"epoch": 500, "state_dict": state, "hyper_parameters": settings}, path)
    return load(import_weights("satclip", path, folder / "run")[1])


def relative(ours, theirs):
    """The distance of each place's two embeddings over the length of theirs."""
    return np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)


def test_the_peer_has_the_published_functions(satclip_peer, lonlat):
    basis = satclip_peer.SatClip(10).basis(torch.tensor(lonlat)).numpy()
    np.testing.assert_allclose(basis, satclip_basis(lonlat, 10), atol=1e-10)


@pytest.mark.parametrize("peer", [10], indirect=True)
def test_parity_at_degree_10(encoder, theirs, lonlat):
    assert relative(encoder(lonlat), theirs).max() < 1e-6


@pytest.mark.parametrize("peer", [40], indirect=True)
def test_parity_at_degree_40(encoder, theirs, lonlat):
    """Float32 up to 45°. Above it their rounding is reproduced, and their noise is not."""
    low = np.abs(lonlat[:, 1]) < 45
    error = relative(encoder(lonlat), theirs)
    assert error[low].max() < 2e-6
    assert error.max() < 4e-3

    location = encoder.experiment.location
    harmonics = dataclasses.replace(location.encoding, satclip_polynomials=False)
    location = dataclasses.replace(location, encoding=harmonics)
    experiment = dataclasses.replace(encoder.experiment, location=location)
    without = relative(LocationEncoder(experiment, encoder._params)(lonlat), theirs)
    assert without[low].max() < 6e-6
    assert without.max() > 10 * error.max()


def test_the_digits_are_those_that_sympy_prints(satclip_peer):
    x = sympy.Symbol("x")
    found = coefficient_errors(40)
    for ell in range(2, 40):
        printed = sympy.sympify(
            satclip_peer.formula(ell, 0).replace("cos(theta)", "x"), rational=True
        )
        exact = sympy.sqrt((2 * ell + 1) * sympy.pi / 4).n(40) * sympy.legendre(ell, x)
        errors = sympy.Poly(printed - exact, x).all_coeffs()[::-1]
        np.testing.assert_allclose(found[: ell + 1, ell], np.array(errors, float), rtol=1e-9)
