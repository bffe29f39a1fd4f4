"""What a free embedding can reach, and what nothing can."""

import numpy as np
import pytest

from earth_embed.diagnosis.limits import oracle


def embeddings(seed, count=32, dim=16):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def nt_xent(z, e, scale):
    z, e = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (z, e))
    x = scale * z @ e.T
    return float((np.log(np.exp(x).sum(axis=1)) - np.diag(x)).mean())


def test_samples_that_differ_leave_nothing():
    found = oracle(embeddings(0), embeddings(1), 30.0, steps=200, rate=0.05)
    assert found.loss == pytest.approx(nt_xent(embeddings(0), embeddings(1), 30.0), rel=1e-5)
    assert found.floor < 0.01 * found.loss
    assert found.encoder_share == 1 - found.floor / found.loss


def test_samples_that_are_alike_leave_their_entropy():
    """Of two equal samples one must guess: log 2 each, whatever the locations are."""
    twins = np.repeat(embeddings(0, 16), 2, axis=0)
    found = oracle(twins, embeddings(1), 30.0, steps=200, rate=0.05)
    assert found.floor == pytest.approx(np.log(2), abs=0.01)
    assert found.floor >= np.log(2) - 1e-6


def test_an_oracle_that_starts_at_the_floor_stays_there():
    samples = embeddings(0)
    best = oracle(samples, samples, 100.0, steps=3, rate=1.0)
    assert best.floor <= best.loss
    assert best.loss < 1e-6
