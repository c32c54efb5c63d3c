"""Noise scales along a training, against exact covariances where these are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lr_batch
from lr_batch import Goal, Study, Workload, measure_noise_scale, noise_along_training, norm_scales
from lr_batch.noise.scale import ratio_of_means
from lr_batch.noise.training import _average, _Block, parts_of
from lr_batch.problem.reaching import averaged

MEAN, SD = np.array([1.0, 0.5, 0.0]), np.array([2.0, 3.0, 4.0])


def bowl(mean=MEAN, sd=SD, rows=512) -> Workload:
    """Loss 1/2 |w - x|^2 per example: gradient w - x, so Sigma is the covariance of x."""
    x = np.random.default_rng(0).normal(mean, sd, (rows, len(mean))).astype(np.float32)
    return Workload(
        name="bowl",
        init=lambda key: {"w": jnp.full(len(mean), 5.0)},
        loss=lambda params, batch, key: 0.5 * ((params["w"][None] - batch) ** 2).sum(-1),
        evaluate=lambda params, batch: {"loss": 0.5 * ((params["w"][None] - batch) ** 2).sum(-1)},
        train_data=x,
        eval_data=x[:64],
        goal=Goal("loss", 15.0),
        budget=200,
    )


def exact(workload: Workload, at: float) -> float:
    grads = at - np.asarray(workload.train_data)
    return grads.var(0).sum() / (grads.mean(0) ** 2).sum()


def one_trial(workload, batch_size=16, **changes) -> Study:
    return Study(
        workload,
        "sgd",
        (batch_size,),
        {"learning_rate": (0.05,)},
        **{"seeds": 1, "extend": False, **changes},
    )


def test_the_scale_of_a_still_network_is_the_exact_one():
    """At a rate of nearly zero the parameters stay, so that every window measures one covariance."""
    workload = bowl()._replace(goal=Goal("loss", 0.0))
    still = Study(workload, "sgd", (16,), {"learning_rate": (1e-9,)}, seeds=1, budget=64, extend=False)
    noise = noise_along_training(still)
    assert not noise.reached and [point.step for point in noise.points] == [8, 16, 32, 64]
    truth = exact(workload, 5.0)
    assert noise.mean_simple.b_simple == pytest.approx(truth, rel=0.3)
    assert noise.mean_simple.low < truth < noise.mean_simple.high


def test_it_is_the_trial_that_a_sweep_trains():
    study = one_trial(bowl(), evaluation_growth=0.01, evaluation_share=1.0)
    noise, result = noise_along_training(study), lr_batch.run(study)
    assert noise.reached and result.status[0] == lr_batch.REACHED
    curve = dict(zip(result.curves[0].steps.tolist(), result.curves[0].values.tolist(), strict=True))
    shared = [point for point in noise.points if point.step in curve]
    assert shared
    for point in shared:
        assert point.metric == pytest.approx(curve[point.step], rel=1e-5)


def test_every_norm_has_its_own_scale():
    """Of independent entries: l1 noise is sum sd sqrt(2 / pi) on average, and its square is that squared at many rows."""
    workload = bowl()
    scales = norm_scales(workload, {"w": jnp.full(3, 5.0)}, jax.random.key(1))
    grads = 5.0 - np.asarray(workload.train_data)
    assert scales.spectral is None
    assert scales.simple.low < exact(workload, 5.0) < scales.simple.high
    assert scales.curved == scales.simple  # the Hessian is the identity
    rng = np.random.default_rng(1)
    draws = grads[rng.integers(0, len(grads), (2000, 64))].mean(1) - grads.mean(0)
    sign = 64 * (np.abs(draws).sum(1) ** 2).mean() / np.abs(grads.mean(0)).sum() ** 2
    assert scales.sign.low < sign < scales.sign.high


def test_spectral_scale_of_a_matrix_of_rank_one_is_the_euclidean_one():
    workload = bowl()
    column = workload._replace(
        init=lambda key: {"w": jnp.full((3, 1), 5.0)},
        loss=lambda params, batch, key: 0.5 * ((params["w"][:, 0][None] - batch) ** 2).sum(-1),
    )
    scales = norm_scales(column, {"w": jnp.full((3, 1), 5.0)}, jax.random.key(1))
    np.testing.assert_allclose(scales.spectral, scales.simple, rtol=1e-4)


def test_batch_big_is_chosen_large_enough_for_an_upper_end():
    """A true scale of about 4,000: with a batch of 64 the upper end is infinite in most studies."""
    workload = bowl(mean=np.full(3, 5.0 - 0.05), rows=4096)
    truth = exact(workload, 5.0)
    assert 2_000 < truth < 8_000
    at = {"w": jnp.full(3, 5.0)}
    scales = [
        measure_noise_scale(workload, at, jax.random.key(key), batch_small=128, draws=32) for key in range(3)
    ]
    assert all(np.isfinite(scale.high) for scale in scales)
    assert sum(scale.low <= truth <= scale.high for scale in scales) >= 2


@pytest.mark.parametrize(("signal", "seed"), [(3.0, 0), (0.6, 1), (0.2, 2)])
def test_fieller_covers_whatever_the_signal(signal, seed):
    """90 % intervals of 400 studies of 8 blocks; 85 to 95 % is more than three standard errors wide."""
    rng, inside = np.random.default_rng(seed), 0
    for _ in range(400):
        shared = rng.standard_normal(8)
        scale = ratio_of_means(
            5.0 + rng.standard_normal(8) + shared, signal + 0.5 * rng.standard_normal(8) + 0.3 * shared, 0.9
        )
        inside += scale.low <= 5.0 / signal <= scale.high
    assert 340 <= inside <= 380


def test_parts_divide_the_batch():
    for batch_size in range(2, 200):
        assert parts_of(batch_size) > 1 and batch_size % parts_of(batch_size) == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 1}, "cannot be split"),
        ({"seeds": 2}, "has 2: give one batch size"),
    ],
)
def test_what_cannot_be_measured_is_said(changes, said):
    with pytest.raises(ValueError, match=said):
        noise_along_training(one_trial(bowl(), **changes))


def test_a_training_that_diverges_is_said():
    study = Study(bowl(), "sgd", (16,), {"learning_rate": (1e9,)}, seeds=1, extend=False)
    with pytest.raises(ValueError, match="diverged within 2 steps: take a lower learning rate"):
        noise_along_training(study)


def test_no_gradient_is_said():
    flat = bowl(sd=np.zeros(3))
    with pytest.raises(ValueError, match="the gradient over the training set is zero"):
        norm_scales(flat, {"w": jnp.asarray(MEAN, jnp.float32)}, jax.random.key(0))


def test_the_goal_is_reached_by_the_same_average_as_in_a_sweep():
    """A perplexity is averaged in its logarithm."""
    losses = bowl()
    named = lambda params, batch: {"perplexity": losses.evaluate(params, batch)["loss"]}
    study = one_trial(losses._replace(evaluate=named, goal=Goal("perplexity", 2.0)))
    steps, values = np.array([1, 2, 3]), np.array([20_000.0, 10.0, 5.0])
    blocks = [_Block(step, value, 0.0, 0.0, 1) for step, value in zip(steps, values, strict=True)]
    expected = averaged(steps, values, study.time_constant, "perplexity")[-1]
    assert _average(study, blocks) == pytest.approx(expected)


def test_augmented_examples_are_not_measured_as_they_are():
    pictures = bowl()._replace(augment=lr_batch.Augmentation("own", 1, lambda x, draws: x))
    with pytest.raises(ValueError, match="norm_scales: trains on examples as they are"):
        norm_scales(pictures, {"w": jnp.full(3, 5.0)}, jax.random.key(1))
