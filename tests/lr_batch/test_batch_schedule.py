"""Batches that grow within a trial: their table, their examples, and training against a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lr_batch
from lr_batch.lanes.order import epoch_order
from lr_batch.problem.batch_schedule import BatchSchedule, parse_batch_schedule, steps_of_trials
from lr_batch.problem.lengths import Length

ROWS = 50


def workload():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3)).astype(np.float32)
    data = {"x": x, "y": x @ np.array([1.0, -2.0, 0.5], np.float32)}
    return lr_batch.Workload(
        init=lambda key: jax.random.normal(key, (3,)),
        loss=lambda params, batch, key: (batch["x"] @ params - batch["y"]) ** 2,
        evaluate=lambda params, batch: {"loss": (batch["x"] @ params - batch["y"]) ** 2},
        train_data=data,
        eval_data=data,
        name="line",
        goal=lr_batch.Goal("loss", 1e-6),
        budget=40,
        batch_sizes=(4, 8),
        micro_batch=4,
    )


@jax.jit
def mean_loss(params, batch):
    return ((batch["x"] @ params - batch["y"]) ** 2).mean()


gradient = jax.jit(jax.grad(mean_loss))
orders_of = jax.jit(jax.vmap(lambda seed, epoch: epoch_order(seed, epoch, ROWS), in_axes=(None, 0)))


def plain_losses(seed, table, rate, steps):
    """Held-out loss after every step of a loop over examples in the order of the seed, without micro-batches."""
    made = workload()
    params, used, losses = made.init(jax.random.key(seed)), 0, []
    orders = np.concatenate(orders_of(jnp.int32(seed), jnp.arange(60)))
    tx = optax.sgd(rate)
    state = tx.init(params)
    for step in range(steps + 1):
        losses.append(float(mean_loss(params, made.eval_data)))
        size = table[np.searchsorted(table[:, 0], step, side="right") - 1, 1]
        rows = orders[used : used + size]
        used += size
        batch = jax.tree.map(lambda leaf, rows=rows: leaf[rows], made.train_data)
        updates, state = tx.update(gradient(params, batch), state)
        params = optax.apply_updates(params, updates)
    return np.array(losses)


def test_trials_under_growing_batches_are_those_of_a_plain_loop_by_one_program():
    study = lr_batch.Study(
        workload(),
        "sgd",
        batch_schedule="x2@5,x4@12",
        space={"learning_rate": (0.01, 0.02)},
        seeds=1,
        slack=float("inf"),
        extend=False,
        lanes="vmap",
    )
    result = lr_batch.run(study)
    assert result.engine.programs_compiled == 2
    for trial in result.trials:
        table = study.batch_table(trial.batch_size)
        expected = plain_losses(trial.seed, table, trial.hparams["learning_rate"], 40)
        np.testing.assert_allclose(trial.curve.values, expected[trial.curve.steps], rtol=2e-4, atol=1e-7)
    assert result.engine.examples == sum(2 * study.examples(size, 40) for size in (4, 8))


def test_another_batch_schedule_is_another_trial():
    made = workload()
    space = {"learning_rate": (0.01,)}
    studies = [
        lr_batch.Study(made, "sgd", space=space, seeds=1, batch_schedule=given)
        for given in (None, "x2@5", "x2@6")
    ]
    from lr_batch.engine import Identity

    described = [Identity.of(study, 1, "vmap").described() for study in studies]
    assert "batch_schedule" not in described[0] and described[1] != described[2]
    assert BatchSchedule.read(described[1]["batch_schedule"]) == studies[1].batch_schedule


@pytest.mark.parametrize("budget", [1000, Length(20_000, "examples")])
def test_steps_and_examples_are_inverse(budget):
    growing = parse_batch_schedule("x2@1000examples,x4@4000examples,100@9000examples", 500)
    table = growing.table(7, budget)
    sizes = np.repeat(table[:, 1], np.diff([*table[:, 0], 3000]))
    total = np.concatenate([[0], np.cumsum(sizes)])
    for step in (0, 1, 142, 143, 144, 500, 1000):
        assert growing.examples(7, budget, step) == total[step]
        assert growing.steps(7, budget, float(total[step])) == pytest.approx(step)
    assert all(total[first] >= start for first, start in zip(table[1:, 0], (1000, 4000, 9000), strict=True))


def test_a_budget_in_examples_ends_sooner_where_batches_grow():
    growing = parse_batch_schedule("x2@50%", 500)
    budget = Length(1000, "examples")
    assert steps_of_trials(budget, 10, growing) == 75 and steps_of_trials(budget, 10, None) == 100
    assert steps_of_trials(budget, np.array([10, 20]), growing).tolist() == [75, 38]


@pytest.mark.parametrize(
    "given, message",
    [
        ("x2", "must look like"),
        ("y2@100", "must look like"),
        ("x2@100,x4@100", "must be above 0 and ascend"),
        ("x2@0", "must be above 0"),
        ("x2@100,x4@5epochs", "one unit"),
        ("x2@soon", "whole number of steps"),
        ("x20@10", "gives batches of 80 examples to the batch size 4"),
        ("x0.1@10", "gives batches of 0 examples"),
        ([(100, 2.5)], "must look like"),
        ([], "must look like"),
    ],
)
def test_wrong_schedules_are_one_line(given, message):
    with pytest.raises(ValueError, match=message) as error:
        lr_batch.Study(workload(), "sgd", batch_schedule=given)
    assert "\n" not in str(error.value)
