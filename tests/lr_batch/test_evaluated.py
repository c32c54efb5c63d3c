"""Where a user's optimizer averages its iterates, the average is evaluated: against Optax's own loop."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest
from optax import contrib
from tiny import tiny_study, tiny_workload

import lr_batch
import optim

STEPS = 30


def plain(hparams):
    return contrib.schedule_free_adamw(hparams["learning_rate"])


def chained(hparams):
    return optax.chain(optax.clip_by_global_norm(1.0), contrib.schedule_free_sgd(hparams["learning_rate"]))


def ours(hparams):
    return optax.chain(optax.identity(), optim.schedule_free_sgd(hparams["learning_rate"]))


def hooked(hparams):
    return optax.sgd(hparams["learning_rate"])


hooked.eval_params = lambda state, params: jax.tree.map(lambda leaf: 0.5 * leaf, params)
AVERAGES = {
    plain: contrib.schedule_free_eval_params,
    chained: lambda state, params: contrib.schedule_free_eval_params(state[1], params),
    ours: lambda state, params: optim.averaged_params(state, params),
    hooked: hooked.eval_params,
}


@pytest.mark.parametrize("optimizer", AVERAGES, ids=lambda optimizer: optimizer.__name__)
def test_the_average_is_evaluated(optimizer):
    workload = tiny_workload()
    study = tiny_study(
        workload=workload, optimizer=optimizer, batch_sizes=(40,), space={"learning_rate": (0.1,)}, seeds=1,
        budget=STEPS, slack=float("inf"), goal="loss<1e-6",
    )  # fmt: skip
    last = next(lr_batch.run(study).trials).curve.values[-1]
    params, tx = workload.init(jax.random.key(0)), optimizer({"learning_rate": 0.1})
    state, key = tx.init(params), jax.random.key(0)
    mean = jax.grad(lambda params: workload.loss(params, workload.train_data, key).mean())

    @jax.jit
    def step(params, state):
        updates, state = tx.update(mean(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(STEPS):
        params, state = step(params, state)
    at = lambda params: float(np.mean(workload.evaluate(params, workload.eval_data)["loss"]))
    assert last == pytest.approx(at(AVERAGES[optimizer](state, params)), rel=1e-5)
    assert abs(at(params) / last - 1) > 1e-3


def test_parameters_that_are_not_averaged_stay():
    params = {"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)}
    labels = {"a": "free", "b": "plain"}
    tx = optax.partition({"free": contrib.schedule_free_sgd(0.1), "plain": optax.sgd(0.1)}, labels)
    state = tx.init(params)
    for _ in range(3):
        updates, state = tx.update(jax.tree.map(np.ones_like, params), state, params)
        params = optax.apply_updates(params, updates)
    found = lr_batch.as_optimizer(lambda hparams: tx).eval_params(state, params)
    np.testing.assert_array_equal(found["b"], params["b"])
    assert np.abs(found["a"] - params["a"]).min() > 1e-3
