"""Metrics and gradients not finite, goals that are met already or point the wrong way: refused before training."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from checked_study import X, refused, workload_of
from tiny import tiny_study

import lr_batch
from lr_batch import StudyError


def test_a_metric_that_is_not_finite_is_named():
    metrics = {"mape": lambda outputs, y: jnp.abs(outputs[:, 0] - y) / y}
    loss = lambda outputs, y: (outputs[:, 0] - y) ** 2
    y = np.maximum(X[:, 0], 0)
    refused(
        workload_of(y=y, loss=loss, metrics=metrics), r"mape of \d+ of 96 held-out examples is not finite"
    )


def test_a_gradient_that_is_not_finite_or_zero_is_refused():
    norm = lambda outputs, y: jnp.sqrt(jnp.sum((outputs - 1.0) ** 2, axis=1))
    model = (lambda key: jnp.zeros((5, 3)), lambda params, x: 1.0 + x @ params)
    refused(workload_of(model, loss=norm), "the gradient of the parameters is not finite at the first step")
    steps = lambda outputs, y: (jnp.argmax(outputs, axis=1) != y).astype(jnp.float32)
    refused(workload_of(loss=steps), "the gradient of the loss is zero")


def test_a_goal_met_by_the_untrained_model_is_refused():
    refused(said=r"held-out loss is 1.099 before the first step \(seed 0\): the goal", goal="loss<3")


@pytest.mark.parametrize("name", ["top1_error", "dice_loss", "topology"])
def test_a_goal_of_which_less_is_better_passes(name):
    metrics = {name: lambda outputs, y: (jnp.argmax(outputs, axis=1) != y).astype(jnp.float32)}
    assert lr_batch.check(tiny_study(workload=workload_of(metrics=metrics, goal=f"{name}<0.1")))


@pytest.mark.parametrize("name", ["accuracy", "top1_accuracy", "val_acc", "top_3", "acc5"])
def test_a_goal_in_the_wrong_direction_is_refused(name):
    metrics = {name: lambda outputs, y: (jnp.argmax(outputs, axis=1) == y).astype(jnp.float32)}
    wrong = workload_of(metrics=metrics, goal=f"{name}<0.95")
    refused(wrong, f"more {name} is better, but the goal is {name} < 0.95: write '{name} > 0.95'")
    with pytest.raises(StudyError, match="is better, but the goal is"):
        lr_batch.check(tiny_study(workload=wrong), to_goal=False)
    assert lr_batch.check(tiny_study(workload=wrong, goal=f"{name}>0.95"))
    refused(wrong, f"the goal {name} > 0.01 is met already; take a higher one$", goal=f"{name}>0.01")


def test_a_loss_is_never_raised_and_a_name_that_says_nothing_may_mean_either():
    refused(said="less loss is better, but the goal is loss > 3: write 'loss < 3'$", goal="loss>3")
    score = {"score": lambda outputs, y: (jnp.argmax(outputs, axis=1) == y).astype(jnp.float32)}
    named = workload_of(metrics=score, goal="score>0.9")
    refused(named, "take a higher one, or did you mean 'score < 0.01'?", goal="score>0.01")
    refused(named, "take a lower one, or did you mean 'score > 0.95'?", goal="score<0.95")
