"""The idiomatic loop: one jitted Optax step per batch size, a Python loop over steps, one trial after the
other.

    python -m runs.bench.serial_loop < request.json

What is made for speed here is what a careful user would do: the rate is traced, so that a batch size is
compiled once; buffers are donated; examples lie on the device and are gathered inside the step; the loop
waits for the device only where it evaluates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lr_batch import Study, num_examples
from lr_batch.engine import ROWS
from runs.bench.child import serve
from runs.bench.loads import Evaluations
from runs.bench.trial_loop import PeerTrainer, Rules, TrialPlan, run_trial
from runs.bench.work import Work

ROWS_AT_ONCE = (8 * ROWS, ROWS)  # held-out rows that are evaluated at once


def make_trainer(study: Study) -> PeerTrainer:
    """The loop's functions. State: params, optimizer state, hyperparameters, seed, the last loss."""
    workload, optimizer = study.workload, study.optimizer
    train, held_out = jax.device_put((workload.train_data, workload.eval_data))
    transformation = lambda hparams: optax.with_extra_args_support(optimizer(hparams))

    @jax.jit
    def init(key: jax.Array, hparams: Mapping[str, jax.Array]) -> tuple[Any, Any]:
        params = workload.init(key)
        return params, transformation(hparams).init(params)

    def step(
        params: Any,
        opt_state: Any,
        hparams: Mapping[str, jax.Array],
        seed: np.int32,
        rows: np.ndarray,
        number: np.int32,
    ) -> tuple[Any, Any]:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), number), 0)
        batch = jax.tree.map(lambda leaf: leaf[rows], train)
        mean_loss = lambda params: workload.loss(params, batch, key).mean()
        value, grads = jax.value_and_grad(mean_loss)(params)
        updates, opt_state = transformation(hparams).update(
            grads, opt_state, params, value=value, grad=grads, value_fn=mean_loss, grad_fn=jax.grad(mean_loss)
        )
        return optax.apply_updates(params, updates), opt_state

    def evaluate(params: Any, opt_state: Any, rows: np.ndarray | None = None) -> jax.Array:
        params = optimizer.eval_params(opt_state, params)
        read = held_out if rows is None else jax.tree.map(lambda leaf: leaf[rows], held_out)
        return workload.evaluate(params, read)[study.goal.metric].mean()

    jitted, evaluated = jax.jit(step, donate_argnums=(0, 1)), jax.jit(evaluate)

    def start(seed: int, hparams: Mapping[str, float]) -> tuple[Any, ...]:
        hparams = {name: jnp.float32(value) for name, value in hparams.items()}
        return *init(jax.random.key(seed), hparams), hparams, np.int32(seed)

    return PeerTrainer(
        start=start,
        step=lambda state, rows, number: (*jitted(*state, rows, np.int32(number)), *state[2:]),
        wait=jax.block_until_ready,
        evaluate=lambda state, rows: mean_over_pieces(partial(evaluated, *state[:2]), rows),
    )


def mean_over_pieces(mean: Callable[..., Any], rows: np.ndarray | None) -> float:
    """`mean(rows)` in pieces of few sizes, so that few programs are compiled; `mean()` of all."""
    if rows is None:
        return float(mean())
    means, left = [], rows
    while len(left):
        size = next((size for size in ROWS_AT_ONCE if size <= len(left)), len(left))
        means.append((size, mean(left[:size])))
        left = left[size:]
    return sum(size * float(value) for size, value in means) / len(rows)


def warm_up(trainer: PeerTrainer, study: Study, batch_size: int) -> float:
    """Seconds until the first step of a batch size and the first evaluations are done: compilation."""
    evaluations, began = Evaluations.of(study), time.perf_counter()
    state = trainer.step(trainer.start(0, study.settings[0]), np.arange(batch_size, dtype=np.int32), 0)
    _, reads = evaluations.of_trial(batch_size, 0)
    for rows in {0 if rows is None else len(rows): rows for rows in reads}.values():
        trainer.evaluate(state, rows)
    return time.perf_counter() - began


def measure(
    study: Study, trainer: PeerTrainer, request: Mapping[str, Any], emit: Callable[..., None]
) -> None:
    """Trains the trials of the request and reports `{"compile": {batch size: seconds}}` and each trial's
    timing."""
    plans = [TrialPlan(**plan) for plan in request["plans"]]
    rules = Rules(Evaluations.of(study), study.goal, study.time_constant, request["seconds"])
    sizes = sorted({plan.batch_size for plan in plans})
    emit(compile={size: warm_up(trainer, study, size) for size in sizes})
    rows = num_examples(study.workload.train_data)
    for plan in plans:
        timing = run_trial(trainer, plan, rules, rows)
        emit(timing=timing._asdict())


def main(request: Mapping[str, Any], emit: Callable[..., None]) -> None:
    study = Work(**request["work"]).study()
    emit(ready=True)
    measure(study, make_trainer(study), request, emit)


if __name__ == "__main__":
    serve(main)
