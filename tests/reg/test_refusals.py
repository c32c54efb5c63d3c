"""Wrong input gets one line, before anything is compiled."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reg_rows import tiny

import lr_batch
import reg
from lr_batch import Goal, Study, from_arrays, generalize
from reg.registry import REGULARIZERS
from reg.ridge import ridge

WORKLOAD = tiny()


def study(workload=WORKLOAD, **fields):
    return Study(workload=workload, batch_sizes=(4,), seeds=2, **fields)


def line(**fields):
    with pytest.raises(ValueError) as refused:
        study(**fields)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def squares():
    """Regression by a plain function: no classes, no layers."""
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    model = (lambda key: jnp.zeros((3,)), lambda params, x: x @ params)
    pair = (x, x[:, 0])
    return from_arrays(
        model,
        train=pair,
        held_out=pair,
        loss=lambda out, y: (out - y) ** 2,
        goal=Goal("loss", 0.1),
        batch_sizes=(4,),
    )


def test_strengths():
    rate = {"learning_rate": (0.1,)}
    assert line(regularizer="l2", space=rate | {"l2": (-1.0,)}) == "l2: l2 must be in [0, inf), got -1.0"
    assert "dropout: dropout must be in [0, 1), got 1.0" in line(
        regularizer="dropout", space=rate | {"dropout": (1.0,)}
    )
    stop = line(regularizer="early_stopping", space=rate | {"patience": (0.0,)})
    assert stop == "early_stopping: patience must be in [1, inf), got 0.0"
    assert "did you mean 'l2'" in line(regularizer="l_2")


def test_a_hyperparameter_of_both():
    assert line(optimizer="adamw", regularizer="weight_decay").startswith(
        "study: weight_decay is a hyperparameter of both"
    )


def test_early_stopping_in_a_race():
    with pytest.raises(ValueError, match="early_stopping ends trials, and so does the race"):
        lr_batch.run(study(regularizer="early_stopping"))


def test_models_and_data_that_a_method_cannot_work_on():
    other = squares()
    assert "needs one class label" in line(workload=other, regularizer="label_smoothing")
    assert "found no hidden layer" in line(workload=other, regularizer="dropout")
    assert "needs images" in line(workload=other, regularizer="cutout")
    noisy, words = (lr_batch.WORKLOADS[name]() for name in ("noisy_quadratic", "pydoc_lm"))
    for name in ("mixup", "cutout"):
        assert "needs examples x of real numbers, got other data" in line(workload=noisy, regularizer=name)
        assert "needs examples x of real numbers, got int32" in line(workload=words, regularizer=name)
    assert "found no residual module" in line(
        workload=lr_batch.WORKLOADS["digits_mlp"](), regularizer="stochastic_depth"
    )


def test_a_loss_of_labels_that_is_no_cross_entropy():
    hinge = lambda out, y: jnp.maximum(0, 1 - jnp.take_along_axis(out, y[:, None], 1)[:, 0])
    x, y = (WORKLOAD.train_data[side] for side in "xy")
    model = (lambda key: jnp.zeros((16, 3)), lambda params, x: x @ params)
    workload = from_arrays(
        model, train=(x, y), held_out=(x, y), loss=hinge, goal=Goal("loss", 0.1), batch_sizes=(4,)
    )
    assert "needs a cross-entropy loss" in line(workload=workload, regularizer="focal")


def test_a_mask_that_matches_nothing():
    from reg.l2 import l2

    loss = l2(0.1, mask=reg.matching("attention")).loss(WORKLOAD.loss, 3)
    with pytest.raises(ValueError, match="l2: the mask matches no parameter .there are: .*kernel"):
        jax.eval_shape(loss, WORKLOAD.init(jax.random.key(0)), WORKLOAD.train_data, jax.random.key(0))


def test_ridge_of_a_negative_strength():
    with pytest.raises(ValueError, match=r"^ridge: l2 must be in \[0, inf\), got -1.0"):
        ridge(jnp.eye(2), jnp.ones(2), -1.0)


def test_epochs_and_unregularized_update():
    with pytest.raises(ValueError, match="epochs must be above 0, got -1"):
        generalize(study(regularizer="l2"), -1)
    tx = reg.regularized(optax.sgd(0.1), REGULARIZERS["early_stopping"]({}))
    updates, _ = tx.update(
        {"w": jnp.ones(2)}, tx.init({"w": jnp.ones(2)}), {"w": jnp.ones(2)}, key=jax.random.key(0)
    )
    np.testing.assert_array_equal(updates["w"], -0.1 * np.ones(2, np.float32))
