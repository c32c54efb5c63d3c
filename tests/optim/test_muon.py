"""Singular values after Newton-Schulz, scales and the partition of Muon."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optim import muon, orthogonalize, scale_by_muon
from optim.muon import SCALES


@pytest.mark.parametrize(
    ("coefficients", "num_steps", "low", "high"),
    [("jordan", 5, 0.67, 1.14), ("polar_express", 5, 0.87, 1.13), ("polar_express", 8, 0.999, 1.001)],
)
def test_singular_values_come_close_to_one(coefficients, num_steps, low, high):
    """For singular values of 0.02 and more of the norm, the bounds known for each table."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n, 12)))[0] for n in (12, 20))
    matrix = left @ np.diag(np.geomspace(0.02, 1.0, 12)) @ right.T
    for x in (matrix, matrix.T):
        values = np.linalg.svd(orthogonalize(jnp.asarray(x, jnp.float32), coefficients, num_steps))[1]
        assert low < values.min() and values.max() < high


def test_singular_vectors_are_kept():
    matrix = np.random.default_rng(0).normal(size=(5, 8))
    u, _, vt = np.linalg.svd(matrix, full_matrices=False)
    found = orthogonalize(jnp.asarray(matrix, jnp.float32), "polar_express", 10)
    np.testing.assert_allclose(found, u @ vt, atol=2e-5)


def test_scales():
    assert SCALES["jordan"](16, 64) == 2.0 and SCALES["jordan"](64, 16) == 1.0
    assert SCALES["moonshot"](16, 100) == SCALES["moonshot"](100, 16) == 2.0


def test_partition_by_path():
    params = {
        "Embed_0": {"embedding": jnp.ones((8, 4))},
        "hidden": {"kernel": jnp.ones((4, 6)), "bias": jnp.ones(6)},
        "conv": {"kernel": jnp.ones((3, 3, 2, 4))},
        "head": {"kernel": jnp.ones((6, 3))},
    }
    momentum = muon(0.1).init(params).inner_states["muon"].inner_state[0].momentum
    trained = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(momentum)[0]]
    assert trained == ["['conv']['kernel']", "['hidden']['kernel']"]


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        scale_by_muon().init({"b": jnp.ones(3)})
