"""Workloads: their parts, their splits, and the noisy quadratic against its theory."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from lr_batch.problem.workload import num_examples
from lr_batch.workloads import WORKLOADS
from lr_batch.workloads.digits import read_digits
from lr_batch.workloads.noisy_quadratic import noisy_quadratic, random_signs
from lr_batch.workloads.noisy_quadratic_theory import curvature, expected_loss
from lr_batch.workloads.patch_conv import PatchConv, lane_by_lane, max_pool, mean_pool, of_patches
from lr_batch.workloads.pydoc_lm import CharTransformer, load_topics


def test_random_signs_are_balanced_and_uncorrelated():
    signs = np.asarray(random_signs(jax.random.key(0), 500, 70))
    assert set(np.unique(signs)) == {-1.0, 1.0}
    # 5 standard deviations of 35,000 signs, and of the largest of 2,415 correlations: false alarm < 1e-3.
    assert abs(signs.mean()) < 5 / np.sqrt(signs.size)
    correlation = signs.T @ signs / 500 - np.eye(70)
    assert np.abs(correlation).max() < 5.2 / np.sqrt(500)


@pytest.mark.parametrize(("rate", "batch_size"), [(0.05, 1), (1.2, 16)])
def test_noisy_quadratic_follows_its_theory(rate, batch_size):
    """Mean loss of 2,000 copies; its standard error is about 1.5 %, the bound 4 of them: false alarm 1e-4."""
    dim, steps = 6, 40
    workload = noisy_quadratic(dim, 2_000)
    batch = {"example": jnp.arange(batch_size)}

    def step(params, key):
        grads = jax.grad(lambda p: workload.loss(p, batch, key).mean())(params)
        return jax.tree.map(lambda p, g: p - rate * g, params, grads), None

    keys = jax.random.split(jax.random.key(1), steps)
    params, _ = jax.lax.scan(step, workload.init(jax.random.key(0)), keys)
    measured = workload.evaluate(params, workload.eval_data)["loss"]
    assert measured.shape == (1,)
    expected = expected_loss(steps, rate, batch_size, curvature(dim))
    assert float(measured[0]) == pytest.approx(expected, rel=0.06)


def test_noisy_quadratic_noise_is_shared_by_lanes_and_not_by_keys():
    workload = noisy_quadratic(4, 8)
    batch = {"example": jnp.arange(3)}
    noise = lambda scale, key: (
        jax.grad(lambda p: workload.loss(p, batch, jax.random.key(key)).sum())(
            {"w": scale * jnp.ones((8, 4))}
        )["w"]
        - 3 * scale / np.arange(1, 5)[None]
    )
    np.testing.assert_allclose(noise(1.0, 0), noise(2.0, 0), atol=1e-5)
    assert not np.allclose(noise(1.0, 0), noise(1.0, 1))


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "pydoc_lm", "noisy_quadratic"])
def test_workload_without_download_trains_and_evaluates(name):
    workload = WORKLOADS[name]()
    assert workload.name == name
    params = jax.jit(workload.init)(jax.random.key(0))
    batch = jax.tree.map(lambda leaf: leaf[:3], workload.train_data)
    grads = jax.jit(jax.grad(lambda p: workload.loss(p, batch, jax.random.key(1)).sum()))(params)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))
    metrics = jax.jit(workload.evaluate)(params, jax.tree.map(lambda leaf: leaf[:1], workload.eval_data))
    assert metrics[workload.goal.metric].shape == (1,)
    assert max(workload.batch_sizes) <= num_examples(workload.train_data)


def test_digits_are_those_of_scikit_learn():
    """Its file is read without its loader; where that file is elsewhere the loader itself is asked."""
    from sklearn.datasets import load_digits

    for ours, theirs in zip(read_digits(), load_digits(return_X_y=True), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_digits_are_split_once_for_all():
    workload = WORKLOADS["digits_mlp"]()
    assert workload.train_data["x"].shape == (1_400, 64)
    assert workload.eval_data["x"].shape == (397, 64)
    assert workload.train_data["x"].max() == 1.0
    rows = {row.tobytes() for row in workload.train_data["x"]}
    assert not any(row.tobytes() in rows for row in workload.eval_data["x"])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "size"), [((3, 3), (8, 5)), ((1, 1), (6, 6)), ((5, 2), (7, 6))])
def test_patch_conv_equals_flax_conv(kernel, size, stride):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    ours, theirs = PatchConv(4, kernel, stride), nn.Conv(4, kernel, stride)
    params = jax.jit(ours.init)(jax.random.key(1), x)
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    assert shapes(params) == shapes(jax.eval_shape(theirs.init, jax.random.key(1), x))
    params["params"]["bias"] = jnp.arange(4.0)

    def value_and_grads(module):
        total = lambda p, x: jnp.sum(jnp.sin(module.apply(p, x)))
        both = jax.jit(lambda p, x: (module.apply(p, x), jax.grad(total, argnums=(0, 1))(p, x)))
        return both(params, x)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
        value_and_grads(ours),
        value_and_grads(theirs),
    )


@pytest.mark.parametrize("x_axis", [None, 0])
def test_convolution_lane_by_lane_equals_patches_of_all_lanes(x_axis):
    """Values and both gradients, of an input that the lanes share and of one that each has to itself."""
    kernels = jax.random.normal(jax.random.key(0), (3, 3, 3, 2, 4))
    x = jax.random.normal(jax.random.key(1), (*(3,) * (x_axis == 0), 5, 6, 7, 2))

    def value_and_grads(convolve):
        total = lambda x, kernel: jnp.sum(jnp.sin(convolve(x, kernel, 2)))
        each = jax.vmap(jax.value_and_grad(total, argnums=(0, 1)), in_axes=(x_axis, 0))
        return jax.jit(each)(x, kernels)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
        value_and_grads(lane_by_lane),
        value_and_grads(of_patches),
    )


def test_convolution_lane_by_lane_is_never_grouped():
    """Else the lanes' way of execution would have to be measured."""
    own = jax.make_jaxpr(jax.vmap(lambda x, kernel: lane_by_lane(x, kernel, 1)))
    text = str(own(jnp.ones((3, 5, 6, 7, 2)), jnp.ones((3, 3, 3, 2, 4))))
    assert "conv_general_dilated" in text
    assert not re.search(r"group_count=(?!1\b)", text)


@pytest.mark.parametrize("size", [(4, 6), (5, 7)])
def test_max_pool_equals_flax(size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    np.testing.assert_array_equal(max_pool(x), nn.max_pool(x, (2, 2), (2, 2)))


def test_mean_pool_equals_flax():
    x = jax.random.normal(jax.random.key(0), (2, 6, 9, 2))
    np.testing.assert_allclose(mean_pool(x, 3), nn.avg_pool(x, (3, 3), (3, 3)), rtol=1e-6, atol=1e-7)
    assert mean_pool(x, 1) is x


def test_transformer_does_not_look_ahead():
    model = CharTransformer(vocab=5, width=8)
    x = jnp.array([[0, 1, 2, 3, 4, 0]])
    params, apply = jax.jit(model.init)(jax.random.key(0), x), jax.jit(model.apply)
    before, after = apply(params, x), apply(params, x.at[0, 3].set(1))
    np.testing.assert_allclose(before[0, :3], after[0, :3], rtol=1e-6)
    assert np.abs(before[0, 3:] - after[0, 3:]).max(axis=-1).min() > 1e-4


def test_topics_predict_the_next_character():
    (x, y), (held_out, _) = load_topics()
    assert x.shape == y.shape and x.shape[1] == held_out.shape[1] == 32
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert x.min() >= 0 and x.max() <= 96
