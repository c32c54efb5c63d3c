"""Workloads: shapes, splits, hashes, and the noisy quadratic against its theory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lr_batch.noisy_quadratic_theory import curvature, expected_loss, optimal, steps_to_goal
from lr_batch.workloads.noisy_quadratic import noisy_quadratic, random_signs

# Steps to 0.01 with the best constant rate at dim 10^4, as re-computed for FACTS.md on a grid of rates,
# so up to a few per cent above the optimum.
PUBLISHED = {1: 6.0e6, 64: 95.6e3, 1024: 10.6e3, 2**20: 6.9e3}


def loop_moment(steps, rate, batch_size, h, momentum):
    """E[w_i^2] by stepping the mean and the covariance of (w, v) as matrices."""
    moment = np.tile(np.diag([1.0, 0.0]), (len(h), 1, 1))
    noise = np.array([-rate, 1.0])
    for _ in range(steps):
        for i, h_i in enumerate(h):
            move = np.array([[1 - rate * h_i, -rate * momentum], [h_i, momentum]])
            moment[i] = move @ moment[i] @ move.T + np.outer(noise, noise) * h_i / batch_size
    return moment[:, 0, 0]


@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("rate", [0.01, 0.9, 2.0])
def test_expected_loss_equals_a_loop_over_steps(rate, momentum):
    h = curvature(5)
    expected = [0.5 * h @ loop_moment(t, rate, 4, h, momentum) for t in (0, 1, 2, 37)]
    np.testing.assert_allclose(
        expected_loss([0, 1, 2, 37], rate, 4, h, momentum), expected, rtol=1e-10
    )


def test_momentum_recursion_without_momentum_is_sgd():
    h = curvature(7)
    steps = np.array([3, 500, 10_000])
    np.testing.assert_allclose(
        expected_loss(steps, 0.1, 16, h, 1e-300), expected_loss(steps, 0.1, 16, h), rtol=1e-9
    )


@pytest.mark.parametrize(
    "batch_size", [64, *(pytest.param(b, marks=pytest.mark.slow) for b in PUBLISHED if b != 64)]
)
def test_optimum_is_the_published_one(batch_size):
    assert optimal(batch_size, curvature(10_000)).steps == pytest.approx(PUBLISHED[batch_size], rel=0.04)


def test_optimal_rate_is_linear_in_the_batch_size_and_then_flat():
    h = curvature(64)
    rates = {b: optimal(b, h).rate for b in (1, 4, 2**14, 2**16)}
    assert rates[4] / rates[1] == pytest.approx(4, rel=0.02)
    assert rates[2**16] / rates[2**14] == pytest.approx(1, rel=0.05)
    assert rates[2**16] < 2


def test_crossing_is_interpolated_between_two_steps():
    h = curvature(3)
    steps = steps_to_goal(0.3, 8, h, goal=0.1)
    low, high = np.floor(steps), np.ceil(steps)
    losses = expected_loss(np.array([low, high]), 0.3, 8, h)
    assert losses[0] >= 0.1 > losses[1]


def test_a_rate_that_never_gets_there_takes_for_ever():
    h = curvature(3)
    assert steps_to_goal(2.5, 8, h) == np.inf
    assert steps_to_goal(1.0, 1, h) == np.inf
    assert steps_to_goal(1.0, 1, h, goal=10.0) == 0.0


def test_random_signs_are_balanced_and_uncorrelated():
    signs = np.asarray(random_signs(jax.random.key(0), 500, 70))
    assert set(np.unique(signs)) == {-1.0, 1.0}
    # 5 standard deviations of 35,000 signs, and of the largest of 2,415 correlations: false alarm < 1e-3.
    assert abs(signs.mean()) < 5 / np.sqrt(signs.size)
    correlation = signs.T @ signs / 500 - np.eye(70)
    assert np.abs(correlation).max() < 5.2 / np.sqrt(500)


@pytest.mark.parametrize(("rate", "batch_size"), [(0.05, 1), (1.2, 16)])
def test_noisy_quadratic_follows_its_theory(rate, batch_size):
    """Mean loss of 2,000 copies; the relative standard error is about 1.5 %, the bound 4 of them: false alarm 1e-4."""
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
    assert float(measured[0]) == pytest.approx(expected_loss(steps, rate, batch_size, curvature(dim)), rel=0.06)
