"""At which steps a trial is evaluated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_study, tiny_workload

import lr_batch
from lr_batch.engine.cadence import (
    ROWS,
    SPARSEST,
    Cadence,
    cadence_at,
    counted_costs,
    evaluation_steps,
    of_all_rows,
    reads_parts,
    within_allowance,
)
from lr_batch.engine.step_cost import GRADIENT, rows_worth_a_step


@pytest.mark.parametrize("budget", [1, 2, 13, 300, 10_000, 1_000_000_000])
def test_from_0_to_the_budget_every_step_at_first_and_never_far_apart(budget):
    steps = evaluation_steps(budget)
    assert steps[0] == 0 and steps[-1] == budget and steps.dtype == np.int32
    gaps = np.diff(steps.astype(np.int64))
    assert (gaps >= 1).all()
    assert (gaps <= np.maximum(1, 0.08 * steps[:-1] + 0.5)).all()
    assert (gaps[:6] == 1).all()


def test_the_number_of_evaluations_grows_with_the_logarithm_of_the_budget():
    assert len(evaluation_steps(10_000)) < 140
    assert len(evaluation_steps(10_000_000)) < 260


def test_shorter_budgets_are_evaluated_at_the_same_steps():
    long, short = evaluation_steps(5_000), evaluation_steps(700)
    np.testing.assert_array_equal(short[:-1], long[: len(short) - 1])


@pytest.mark.parametrize("rows_per_step", [0.3, 4.8, 52.0, 250.0, 5_000.0])
@pytest.mark.parametrize("num_rows", [20, 397, 5_000])
def test_no_evaluation_reads_more_than_the_steps_before_it_paid_for(rows_per_step, num_rows):
    dense = evaluation_steps(20_000)
    steps, rows = within_allowance(dense, rows_per_step, num_rows)
    assert steps[0] == 0 and steps[-1] == 20_000 and np.isin(steps, dense).all()
    read, free = np.where(rows == 0, num_rows, rows)[1:-1], rows_per_step + ROWS
    assert (np.cumsum(read) <= rows_per_step * steps[1:-1] + free).all()
    parts = rows[rows > 0]
    assert (parts % ROWS == 0).all() and (parts < num_rows).all()
    paid = rows_per_step * np.diff(steps) >= num_rows
    assert (rows[1:][paid] == 0).all(), "all rows are read where the steps since the last time pay for them"


def test_what_is_paid_for_is_read_and_not_left():
    """Over many evaluations, nothing is lost to rounding."""
    steps, rows = within_allowance(evaluation_steps(5_000), 4.0, 100_000)
    assert 4.0 * 5_000 - 2 * ROWS <= rows.sum() <= 4.0 * 5_000 + 2 * ROWS


@pytest.mark.parametrize("pause", [0.5, 7.0, 60.0, 1e6])
def test_where_all_rows_have_to_be_read_evaluations_are_rarer_but_never_too_far_apart(pause):
    dense = evaluation_steps(20_000)
    steps, rows = of_all_rows(dense, pause)
    assert steps[0] == 0 and steps[-1] == 20_000 and np.isin(steps, dense).all() and not rows.any()
    left_out = np.setdiff1d(dense, steps)
    before = steps[np.searchsorted(steps, left_out) - 1]
    assert (left_out < before + pause).all(), "what is paid for is left out"
    assert (np.diff(steps) <= np.maximum(1, SPARSEST * steps[:-1])).all()
    assert (len(steps) == len(dense)) == (pause < 1)


def test_evaluations_go_around_the_rows_and_seeds_begin_far_apart():
    cadence = Cadence(np.arange(5), np.array([64, 128, 0, 64, 64]))
    reads = np.array([cadence.reads(300, seed) for seed in range(4)])
    starts, number = reads[:, :, 0], reads[0, :, 1]
    assert number.tolist() == [64, 128, 0, 64, 64] and (starts[:, 2] == 0).all()
    np.testing.assert_array_equal(starts[:, 1], (starts[:, 0] + 64) % 300)
    np.testing.assert_array_equal(
        starts[:, 3], (starts[:, 1] + 128) % 300
    )  # all rows between end where they began
    np.testing.assert_array_equal(starts[:, 4], (starts[:, 3] + 64) % 300)
    around = np.sort(starts[:, 0])
    assert np.diff([*around, around[0] + 300]).min() > 300 / 4 / 2


def test_a_study_reads_parts_only_below_its_share():
    dense, sparse = tiny_study(evaluation_share=1.0), tiny_study(evaluation_share=0.01)
    assert not reads_parts(dense) and not cadence_at(dense, 1).rows.any()
    assert len(cadence_at(sparse, 1).steps) < len(cadence_at(dense, 1).steps)
    read, worth = counted_costs(sparse, 4, len(cadence_at(sparse, 4).steps))
    assert read <= 0.01 / 0.99 * worth + 3 * 20
    read, worth = counted_costs(dense, 4, 3)
    assert (read, worth) == (3 * 20, 2 * rows_worth_a_step(dense, 4))


def regression(goal, weights=None):
    """A study of 400 rows at batch size 32."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 3)).astype("float32"), rng.normal(size=400).astype("float32")
    workload = lr_batch.from_arrays(
        (lambda key: {"w": jnp.zeros(3)}, lambda params, x: x @ params["w"]),
        train=data,
        held_out=data,
        loss=lambda outputs, y: (outputs - y) ** 2,
        goal=goal,
        weights=None if weights is None else (weights, weights),
    )
    return lr_batch.Study(workload, batch_sizes=(32,), budget=600)


ONE_IN_20 = (np.arange(400) % 20 == 0).astype("float32")


@pytest.mark.parametrize(("goal", "weights"), [("r2>0.5", None), ("loss<0.5", ONE_IN_20)])
def test_what_no_part_tells_is_read_whole_within_the_share(goal, weights):
    """The metric of some rows does not stand for that of all where it is no mean over examples, or few rows count."""
    study = regression(goal, weights)
    steps, rows = cadence_at(study, 32)
    assert study.evaluation_share == 0.25 and not rows.any() and not reads_parts(study)
    read, worth = counted_costs(study, 32, len(steps))
    everywhere = len(evaluation_steps(600)) * 400
    assert read / (read + worth) < 0.25 < everywhere / (everywhere + worth)


def test_weights_that_leave_most_rows_are_read_in_parts():
    three_in_four = (np.arange(400) % 4 > 0).astype("float32")
    assert reads_parts(regression("loss<0.5", three_in_four)) and reads_parts(regression("rmse<0.5"))


def test_a_step_is_worth_its_examples_and_the_parameters_that_it_moves():
    """One product with 15 parameters: as many as there are multiplications. Then one that is used 8 times in each row."""
    study = tiny_study()
    assert rows_worth_a_step(study, 64) == GRADIENT * (64 + 1 + 4)
    assert rows_worth_a_step(study, 2) == GRADIENT * 2 * (1 + 1 + 4)

    def evaluate(params, batch):
        repeated = jax.vmap(lambda x: x @ params["w"], in_axes=0)(batch["x"][None].repeat(8, 0))
        return {"loss": repeated.sum((0, 2)), "error": repeated.sum((0, 2))}

    often = tiny_study(workload=tiny_workload(evaluate=evaluate))
    assert rows_worth_a_step(often, 64) == GRADIENT * (64 + 1 + 4 / 8)
