"""The PyTorch step of the benchmark is the library's step: same losses, same parameters."""

from pathlib import Path

import jax
import numpy as np
import pytest
import torch

from earth_embed.config import Melt, Pair
from tests.conftest import random_places

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"

# torch.jit.script warns that it is deprecated; the published encoder is made of it.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


@pytest.fixture(scope="module")
def benchmark():
    """experiments/benchmarks/training_step.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import training_step

        yield training_step


@pytest.fixture(scope="module")
def sources(benchmark):
    return {name: benchmark.make_source(width, 128) for name, width in benchmark.WIDTHS.items()}


def layers(step, names):
    """The peer's dense layers by the library's tower and path."""
    siren = [*step.location.nnet.layers, step.location.nnet.last_layer]
    found = {
        ("location", "siren", name): layer
        for name, layer in zip(("hidden_0", "hidden_1", "last"), siren, strict=True)
    }
    return found | {
        (f"modality:{name}", "Dense_0"): projection
        for name, projection in step.projections.items()
        if name in names
    }


def flat(tree, path):
    """The kernel and bias at a path, as one vector in PyTorch's order."""
    for key in path:
        tree = tree[key]
    return np.concatenate([np.asarray(tree["kernel"]).T.ravel(), np.asarray(tree["bias"])])


@pytest.mark.parametrize(
    ("basis", "names"), [("published", ("image",)), ("vectorised", ("image", "text", "series"))]
)
def test_takes_the_same_steps(benchmark, sources, basis, names):
    method = Pair() if len(names) == 1 else Melt()
    size = benchmark.QUICK
    ours = benchmark.Ours(method, names, size, sources)
    tower = getattr(benchmark, basis)(size.degree, benchmark.HIDDEN, benchmark.FEATURES)
    peer = benchmark.Step(tower, benchmark.WIDTHS, benchmark.FEATURES)
    before = jax.device_get(ours.state.params)
    with torch.no_grad():
        for path, layer in layers(peer, names).items():
            start = torch.from_numpy(flat(before, path))
            layer.weight.copy_(start[: layer.weight.numel()].view_as(layer.weight))
            layer.bias.copy_(start[layer.weight.numel() :])
    idle = {name: peer.projections[name].weight.clone() for name in benchmark.WIDTHS}

    batch = benchmark.tensors(ours.examples)
    losses = [(float(ours()["loss"]), peer(batch)) for _ in range(4)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=2e-5)
    assert losses[3][0] < losses[0][0]

    after = jax.device_get(ours.state.params)
    for path, layer in layers(peer, names).items():
        start, ended = flat(before, path), flat(after, path)
        theirs = torch.cat([layer.weight.ravel(), layer.bias]).detach().numpy()
        # Adam divides by the gradient's size, so that where it is all rounding error it may differ.
        assert np.linalg.norm(theirs - ended) < 0.02 * np.linalg.norm(ended - start), path
    assert float(after["logit_scale"]) == pytest.approx(peer.log_scale.item(), abs=1e-6)
    for name in set(benchmark.WIDTHS) - set(names):
        assert torch.equal(peer.projections[name].weight, idle[name])


def test_the_recurrence_is_their_basis(benchmark):
    lonlat = random_places(np.random.default_rng(0), 400)
    lonlat = torch.from_numpy(np.concatenate([lonlat, [[0, 90], [50, -90]]]).astype(np.float32))
    exact = benchmark.published(10, (8,), 4).basis(lonlat)
    found = benchmark.vectorised(10, (8,), 4).basis(lonlat)
    assert exact.dtype == torch.float64
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, exact, atol=2e-5)
