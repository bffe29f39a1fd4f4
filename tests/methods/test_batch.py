"""The layout of a joint batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earth_embed.methods.batch import JointBatch
from earth_embed.step.mesh import build_mesh, over_batch


def parts_of(sizes):
    """Row r of modality m holds m and r."""
    return [jnp.stack([jnp.full(size, m), jnp.arange(size)], 1) for m, size in enumerate(sizes)]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_split_undoes_join_and_groups_name_each_rows_modality(sizes):
    joint, parts = JointBatch(sizes), parts_of(sizes)
    rows = joint.join(parts)
    assert rows.shape == (sum(sizes), 2)
    np.testing.assert_array_equal(rows[:, 0], joint.groups)
    for part, again in zip(parts, joint.split(rows), strict=True):
        np.testing.assert_array_equal(part, again)
    groups = [set(part.tolist()) for part in joint.split(jnp.asarray(joint.groups))]
    assert groups == [{m} for m in range(len(sizes))]


def test_narrower_parts_are_padded_with_zeros():
    rows = JointBatch((2, 1)).join([jnp.ones((2, 3)), jnp.ones((1, 1))])
    np.testing.assert_array_equal(rows, [[1, 1, 1], [1, 1, 1], [1, 0, 0]])


@pytest.mark.parametrize("sizes", [(16, 16), (32, 16), (24, 8, 16)])
def test_rows_stay_on_their_device(sizes):
    """Joined and split without a single message between eight devices."""
    joint, mesh = JointBatch(sizes), build_mesh()
    rows = over_batch(mesh)
    parts = [jax.device_put(part, rows) for part in parts_of(sizes)]

    def there_and_back(parts):
        together = joint.join(parts)
        return together, joint.split(together)

    compiled = jax.jit(there_and_back, out_shardings=rows).lower(parts).compile()
    assert not [op for op in ("all-", "collective", "permute") if op in compiled.as_text()]
    together, again = compiled(parts)
    np.testing.assert_array_equal(together[:, 0], joint.groups)
    for part, back in zip(parts, again, strict=True):
        np.testing.assert_array_equal(part, back)
