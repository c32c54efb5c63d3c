"""Gradient noise scale against the exact covariance of a small problem."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lr_batch import gradient_noise_scale, measure_noise_scale
from lr_batch.problem.workload import Goal, Workload

H = np.array([4.0, 1.0, 0.25], np.float32)


def _workload():
    """Loss 1/2 (w - x)' H (w - x) per example: gradient H (w - x), Hessian H."""
    x = np.random.default_rng(0).normal([0.5, -1.0, 2.0], [1.0, 2.0, 0.5], (200, 3)).astype(np.float32)
    return Workload(
        name="bowl",
        init=lambda key: jnp.zeros(3),
        loss=lambda params, batch, key: 0.5 * (params[None] - batch) ** 2 @ jnp.asarray(H),
        evaluate=lambda params, batch: {"loss": ((params[None] - batch) ** 2).sum(-1)},
        train_data=x,
        eval_data=x,
        goal=Goal("loss", 0.1),
    )


def _exact(weight):
    grads = -np.asarray(_workload().train_data) * H
    return (weight * grads.var(0)).sum() / (weight * grads.mean(0) ** 2).sum()


@pytest.mark.parametrize(("curvature", "weight"), [(False, np.ones(3)), (True, H)])
def test_measured_scale_is_the_exact_one(curvature, weight):
    # 400 draws of 32: relative error about 4 %, so 20 % fails by chance about once in a million keys.
    workload = _workload()
    scale = measure_noise_scale(
        workload, jnp.zeros(3), jax.random.key(0), batch_small=2, batch_big=32, draws=400, curvature=curvature
    )
    assert scale.b_simple == pytest.approx(_exact(weight), rel=0.2)
    assert scale.low < scale.b_simple < scale.high


def test_interval_covers():
    """90 % intervals in 200 studies: 80-97 % is more than four standard errors wide."""
    rng, covered = np.random.default_rng(0), 0
    mean, sd, small, big, draws = np.array([1.0, 0.5]), np.array([2.0, 3.0]), 1, 16, 40
    truth = (sd**2).sum() / (mean**2).sum()
    for _ in range(200):
        grads = mean + sd * rng.standard_normal((draws, big, 2))
        small_sq, big_sq = (grads**2).sum(-1).mean(1), (grads.mean(1) ** 2).sum(-1)
        scale = gradient_noise_scale(small_sq, big_sq, small, big)
        covered += scale.low <= truth <= scale.high
    assert 160 <= covered <= 194


def test_no_signal_is_an_infinite_scale():
    scale = gradient_noise_scale(np.full(4, 8.0), np.full(4, 0.9), 1, 8)
    assert scale.b_simple == scale.high == np.inf


@pytest.mark.parametrize(
    ("small", "big", "message"),
    [(8, 8, "larger than batch_small"), (1, 1, "larger than batch_small"), (0, 8, "must be >= 1")],
)
def test_refuses_batch_sizes_that_tell_nothing(small, big, message):
    with pytest.raises(ValueError, match=message):
        gradient_noise_scale(np.ones(8), np.ones(8), small, big)


def test_refuses_diverged_gradients_and_too_few_draws():
    with pytest.raises(ValueError, match="must be finite"):
        gradient_noise_scale(np.full(8, np.nan), np.ones(8), 1, 8)
    with pytest.raises(ValueError, match="at least 4"):
        gradient_noise_scale(np.ones(3), np.ones(3), 1, 8)
