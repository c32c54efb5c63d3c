"""What every registered regularizer must do, whatever its method."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reg_rows import ROWS, tiny, train

from lr_batch import RegularizedOptimizer, Study
from optim import OPTIMIZERS
from reg import REGULARIZERS

RATES = (0.05, 0.2)
WORKLOAD = tiny()


@pytest.fixture(params=ROWS, scope="module")
def row(request):
    return ROWS[request.param]


@pytest.fixture(scope="module")
def plain():
    """Parameters of four lanes without regularizer: each rate twice."""
    return lanes(OPTIMIZERS["momentum"], {})


def lanes(optimizer, strengths):
    """Four lanes: both rates, then both again; `strengths` has a value for each lane."""
    hparams = {"learning_rate": jnp.array(RATES * 2), **{name: jnp.array(v) for name, v in strengths.items()}}
    return jax.jit(jax.vmap(lambda h: train(WORKLOAD, optimizer, h)))(hparams)


def test_off_is_the_plain_run_and_on_is_not(row, plain):
    """The lanes that are off beside two that are on."""
    regularizer = row.regularizer
    if regularizer.stop:
        pytest.skip("acts on evaluations: tests/reg/test_generalization.py")
    off = {name: row.on[name] for name in row.on} | {regularizer.strength: regularizer.off}
    strengths = {name: [row.on[name]] * 2 + [off[name]] * 2 for name in row.on}
    both = lanes(RegularizedOptimizer(OPTIMIZERS["momentum"], regularizer), strengths)
    for ours, theirs in zip(jax.tree.leaves(both), jax.tree.leaves(plain), strict=True):
        np.testing.assert_array_equal(ours[2:], theirs[2:])
    changed = [
        np.abs(a[:2] - b[:2]).max()
        for a, b in zip(jax.tree.leaves(both), jax.tree.leaves(plain), strict=True)
    ]
    assert max(changed) > 1e-4


def test_study_takes_it_and_its_default_space(row):
    study = Study(workload=WORKLOAD, regularizer=row.regularizer.name, batch_sizes=(4,))
    assert study.optimizer_name == f"sgd + {row.regularizer.name}"
    assert study.space[row.regularizer.strength][0] <= study.space[row.regularizer.strength][-1]
    assert row.regularizer.off in study.space[row.regularizer.strength]


def test_strengths_out_of_range_are_refused(row):
    name = row.regularizer.name
    for hparam, valid in row.regularizer.hparams.items():
        bad = [float("nan"), float("inf"), "0.1", valid.low - 0.5, *([valid.high] if valid.high_open else [])]
        for value in bad:
            with pytest.raises(ValueError, match=rf"^{name}: {hparam} must be in"):
                row.regularizer({"learning_rate": 0.1, hparam: value})
    with pytest.raises(ValueError, match=f"{name}: unknown hyperparameter 'strenght'"):
        row.regularizer({"learning_rate": 0.1, "strenght": 1.0})


def test_defaults_and_space_are_in_range(row):
    regularizer = row.regularizer
    assert regularizer.hparams[regularizer.strength].default == regularizer.off
    for name, values in regularizer.space.items():
        assert all(regularizer.hparams[name].contains(value) for value in values)


def in_float64(tree):
    return jax.tree.map(lambda a: jnp.asarray(a, a.dtype if a.dtype.kind == "i" else "float64"), tree)


def test_gradient_is_that_of_finite_differences(row):
    """In float64, along five random directions, to 1e-6."""
    if not row.smooth:
        pytest.skip("random, or no change of the loss")
    with jax.enable_x64(True):
        params = in_float64(WORKLOAD.init(jax.random.key(0)))
        batch = in_float64(jax.tree.map(lambda a: a[:6], WORKLOAD.train_data))
        loss_fn = row.regularizer(row.on).loss(WORKLOAD.loss, 3)
        loss = jax.jit(lambda p: loss_fn(p, batch, jax.random.key(1)).sum())
        grads = jax.jit(jax.grad(loss))(params)
        for seed in range(5):
            keys = jax.random.split(jax.random.key(seed), len(jax.tree.leaves(params)))
            direction = jax.tree.unflatten(
                jax.tree.structure(params),
                [
                    jax.random.normal(k, p.shape, p.dtype)
                    for k, p in zip(keys, jax.tree.leaves(params), strict=True)
                ],
            )
            move = lambda h, d=direction: jax.tree.map(lambda p, v: p + h * v, params, d)
            numeric = (loss(move(1e-5)) - loss(move(-1e-5))) / 2e-5
            exact = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, grads, direction)))
            assert numeric == pytest.approx(float(exact), rel=1e-6)


def test_unknown_regularizer_names_the_nearest():
    with pytest.raises(ValueError, match="unknown regularizer 'dropuot'; did you mean 'dropout'"):
        REGULARIZERS["dropuot"]
    with pytest.raises(ValueError, match="did you mean 'dropout'"):
        Study(workload=WORKLOAD, regularizer="dropuot")
