import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from earth_embed.losses.nt_xent import nt_xent
from earth_embed.losses.pairs import Pairs, symmetric


def reference(anchors, candidates, scale, groups=None):
    """NT-Xent written out one anchor at a time in float64."""
    z = anchors / np.linalg.norm(anchors, axis=1, keepdims=True)
    e = candidates / np.linalg.norm(candidates, axis=1, keepdims=True)
    losses, hits = [], []
    for i in range(len(z)):
        rivals = [j for j in range(len(e)) if groups is None or groups[j] == groups[i]]
        similarity = {j: scale * float(np.dot(z[i], e[j])) for j in rivals}
        losses.append(np.log(sum(np.exp(s) for s in similarity.values())) - similarity[i])
        hits.append(max(similarity, key=similarity.get) == i)
    return np.array(losses), np.array(hits, float)


def draw(seed, batch=12, dim=5):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, batch, dim)).astype(np.float32)
    return a, b, rng.integers(0, 3, batch)


@given(st.integers(0, 10_000), st.floats(0.5, 50))
@settings(max_examples=25)
def test_equals_the_formula(seed, scale):
    a, b, groups = draw(seed)
    for chosen in (None, groups):
        loss, hits = reference(a.astype(float), b.astype(float), scale, chosen)
        groups = None if chosen is None else jnp.asarray(chosen)
        ours = nt_xent(Pairs(jnp.asarray(a), jnp.asarray(b), jnp.float32(scale), groups=groups))
        np.testing.assert_allclose(ours.loss, loss, rtol=2e-4, atol=2e-4)
        np.testing.assert_array_equal(ours.retrieved, hits)


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_identities(seed):
    a, b, _ = draw(seed)
    scale = jnp.float32(7)

    def losses(compare, a, b):
        return compare(Pairs(jnp.asarray(a), jnp.asarray(b), scale)).loss

    plain = losses(nt_xent, a, b)
    order = np.random.default_rng(seed).permutation(len(a))
    np.testing.assert_allclose(losses(nt_xent, 3 * a, 0.2 * b), plain, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(losses(nt_xent, a[order], b[order]), plain[order], atol=1e-5)
    both = losses(symmetric(nt_xent), a, b)
    np.testing.assert_allclose(both, (plain + losses(nt_xent, b, a)) / 2, atol=1e-5)
    np.testing.assert_allclose(losses(symmetric(nt_xent), b, a), both, atol=1e-5)


def test_no_information_costs_log_batch():
    same = Pairs(jnp.ones((16, 4)), jnp.ones((16, 4)), jnp.float32(9))
    np.testing.assert_allclose(nt_xent(same).loss, np.log(16), rtol=1e-6)
    np.testing.assert_allclose(nt_xent(same._replace(groups=jnp.arange(16))).loss, 0, atol=1e-6)
    assert not nt_xent(same).retrieved.any()  # a tie is no retrieval


def test_gradient_is_finite_at_a_zero_embedding_and_with_masked_rivals():
    a, b, groups = draw(0)
    a[0] = 0

    def total(a, b):
        return nt_xent(Pairs(a, b, jnp.float32(10), groups=jnp.asarray(groups))).loss.sum()

    for gradient in jax.grad(total, argnums=(0, 1))(jnp.asarray(a), jnp.asarray(b)):
        assert np.isfinite(gradient).all()
