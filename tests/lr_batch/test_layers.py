"""Layers with a backward pass of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from lr_batch.workloads.layers import product, relu
from lr_batch.workloads.mlp import MLP


def gradients(multiply, x, kernel):
    return jax.grad(lambda x, kernel: jnp.sum(jnp.sin(multiply(x, kernel))), argnums=(0, 1))(x, kernel)


@pytest.mark.parametrize("in_axes", [(None, 0), (0, None), (0, 0)])
def test_gradients_are_those_of_a_plain_product_in_every_lane(in_axes):
    lanes = [() if axis is None else (2,) for axis in in_axes]
    x = jax.random.normal(jax.random.key(0), (*lanes[0], 5, 3, 4))
    kernel = jax.random.normal(jax.random.key(1), (*lanes[1], 4, 6))
    ours, theirs = (
        jax.vmap(lambda x, kernel, multiply=multiply: gradients(multiply, x, kernel), in_axes)(x, kernel)
        for multiply in (product, jnp.matmul)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)


def test_curvature_can_be_taken_forward_over_reverse():
    """The noise scale multiplies by the Hessian this way."""
    x, kernel = jax.random.normal(jax.random.key(0), (5, 4)), jax.random.normal(jax.random.key(1), (4, 3))
    hvp = lambda multiply: jax.jvp(lambda k: gradients(multiply, x, k)[1], (kernel,), (kernel,))[1]
    np.testing.assert_allclose(hvp(product), hvp(jnp.matmul), rtol=1e-5, atol=1e-6)


def test_relu_is_that_of_jax_to_the_bit():
    x, g = jax.random.normal(jax.random.key(0), (2, 4, 5))
    x = x.at[0].set(0.0)
    for ours, theirs in zip(*(jax.vjp(f, x) for f in (relu, jax.nn.relu)), strict=True):
        a, b = (f(g) if callable(f) else (f,) for f in (ours, theirs))
        np.testing.assert_array_equal(a[0], b[0])


def test_network_is_that_of_flax_layers():
    x = jax.random.normal(jax.random.key(0), (3, 5))
    params = MLP((4, 2)).init(jax.random.key(1), x)["params"]
    assert jax.tree.map(jnp.shape, params) == {
        "Dense_0": {"kernel": (5, 4), "bias": (4,)},
        "head": {"kernel": (4, 2), "bias": (2,)},
    }
    hidden = nn.relu(nn.Dense(4).apply({"params": params["Dense_0"]}, x))
    outputs = nn.Dense(2).apply({"params": params["head"]}, hidden)
    np.testing.assert_allclose(MLP((4, 2)).apply({"params": params}, x), outputs, rtol=1e-6)
