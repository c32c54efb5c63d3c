"""Studies as a whole: racing, isolation, resuming, extension, failures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import RATES, new_workload, run, sgd, tiny_study, tiny_workload

import lr_batch
from lr_batch import sweep
from lr_batch.engine import chunk_run, task_run
from lr_batch.engine.chunk import Checkpoint, Chunk, ChunkResult
from lr_batch.errors import StudyError
from lr_batch.problem.reaching import averaged


class MemoryStore:
    """The two methods of a store."""

    def __init__(self):
        self.kept = {}

    def load(self, chunk):
        return self.kept.get(chunk.id)

    def save(self, chunk, outcome):
        self.kept[chunk.id] = outcome


def columns(result):
    return {
        "batch_size": result.batch_size,
        "seed": result.seed,
        "rate": result.hparams["learning_rate"],
        "steps_to_goal": result.steps_to_goal,
        "steps": result.steps,
        "status": result.status.astype(str),
    }


def assert_same_numbers(a, b):
    for name, column in columns(a).items():
        np.testing.assert_array_equal(column, columns(b)[name], err_msg=name)
    for one, other in zip(a.curves, b.curves, strict=True):
        np.testing.assert_array_equal(one.steps, other.steps)
        np.testing.assert_array_equal(one.values, other.values)


@pytest.fixture(scope="module")
def result():
    return lr_batch.run(tiny_study())


def test_one_row_for_each_trial(result):
    study = tiny_study()
    assert result.num_trials == study.num_trials == 32
    rows = set(zip(result.batch_size, result.seed, result.hparams["learning_rate"], strict=True))
    assert rows == {(b, s, r) for b in (1, 4, 6, 40) for s in (0, 1) for r in RATES}
    assert {"reached", "budget"} <= set(result.status)


def assert_crossings(result):
    goal = result.goal
    for trial in result.trials:
        average = averaged(*trial.curve, result.time_constant)
        good = np.flatnonzero(goal.is_met(average))
        assert (trial.steps_to_goal is None) == (len(good) == 0)
        if len(good):
            steps, around = trial.curve.steps, slice(good[0] - 1, good[0] + 1)
            crossing = np.interp(0, -goal.sign * (average[around] - goal.threshold), steps[around])
            assert trial.steps_to_goal == pytest.approx(crossing, rel=1e-4)


def test_steps_to_goal_lie_where_the_average_crosses(result):
    assert result.time_constant > 0
    assert_crossings(result)


def test_the_first_evaluation_may_be_enough(result):
    first = run(tiny_study(reached="first"))
    assert first.time_constant == 0
    assert_crossings(first)
    both = np.isfinite(first.steps_to_goal) & np.isfinite(result.steps_to_goal)
    assert (first.steps_to_goal[both] <= result.steps_to_goal[both]).all()
    assert (first.steps_to_goal[both] < result.steps_to_goal[both]).any()


def test_a_goal_may_lie_above(result):
    """A metric that rises as the loss falls reaches its goal where the loss does."""
    workload = tiny_study().workload

    def with_score(params, batch):
        metrics = workload.evaluate(params, batch)
        return metrics | {"score": 2 - metrics["loss"]}

    risen = lr_batch.run(tiny_study(workload=workload._replace(evaluate=with_score), goal="score>1.5"))
    assert_crossings(risen)
    np.testing.assert_allclose(risen.steps_to_goal, result.steps_to_goal, rtol=1e-3)


def test_programs_do_not_grow_with_batch_sizes_rates_or_seeds(result):
    """One to start chunks and one to advance them."""
    assert result.engine.programs_compiled == 2
    more = lr_batch.run(tiny_study(batch_sizes=(1, 2, 3, 4, 5, 6, 7, 17, 20, 39, 40), seeds=3, budget=20))
    assert more.engine.programs_compiled == 2


def test_each_program_is_compiled_once_before_the_first_chunk():
    chunks = [Chunk(None, size, seed, ({},)) for size in (40, 6, 1) for seed in (0, 1)]
    wanted = sweep.compilations([sweep.Task(chunk, 4, np.inf) for chunk in chunks])
    assert wanted == [(4, "advance"), (4, "start")]


def test_racing_changes_cost_and_not_answers(result):
    patient = run(tiny_study(slack=float("inf")))
    kept = result.status == "reached"
    np.testing.assert_array_equal(result.steps_to_goal[kept], patient.steps_to_goal[kept])
    assert result.engine.examples < patient.engine.examples
    for size in (1, 4, 6, 40):  # no lane that could change the answer is cut
        for seed in (0, 1):
            cell = (result.batch_size == size) & (result.seed == seed)
            best = np.nanmin(patient.steps_to_goal[cell])
            assert np.nanmin(result.steps_to_goal[cell]) == best
            near = patient.steps_to_goal[cell] < 2 * best
            assert np.isfinite(result.steps_to_goal[cell][near]).all()


def test_lane_does_not_depend_on_its_neighbours(result):
    """Bitwise, at equal width and without a race: permuted, and beside a lane that diverges."""
    alone = run(tiny_study(slack=float("inf")))
    with_nan = run(tiny_study(slack=float("inf"), space={"learning_rate": (*RATES[:3], 1e38)}))
    shared = alone.hparams["learning_rate"] < 3.0
    assert (with_nan.status[~shared] == "diverged").any()
    np.testing.assert_array_equal(alone.steps_to_goal[shared], with_nan.steps_to_goal[shared])
    for i in np.flatnonzero(shared):
        num = min(len(alone.curves[i].values), len(with_nan.curves[i].values))
        np.testing.assert_array_equal(alone.curves[i].values[:num], with_nan.curves[i].values[:num])


def test_diverged_lane_is_recorded_with_its_step_and_never_the_best():
    def explode_at_step_7(hparams):
        def update(updates, count, params=None):
            bad = (count >= 7) & (hparams["learning_rate"] > 2.0)
            return jax.tree.map(lambda g: jnp.where(bad, jnp.nan, -0.01 * g), updates), count + 1

        return optax.GradientTransformation(lambda params: jnp.int32(0), update)

    result = lr_batch.run(tiny_study(optimizer=explode_at_step_7, batch_sizes=(4,), budget=30))
    bad = result.hparams["learning_rate"] > 2.0
    assert set(result.status[bad]) == {"diverged"} and set(result.status[~bad]) == {"budget"}
    assert set(result.steps[bad]) == {7}  # the last step with a finite loss, counted from 0
    assert np.isnan(result.steps_to_goal[bad]).all()


def test_finished_study_trains_nothing(result):
    store = MemoryStore()
    first = run(tiny_study(), store)
    again = lr_batch.run(tiny_study(), store)
    assert_same_numbers(first, result)
    assert_same_numbers(again, result)
    assert again.engine.examples == 0 and again.engine.programs_compiled == 0


def test_what_another_kind_of_device_began_does_not_go_on_here():
    """A whole study is read on any machine; what is missing would have other last bits."""
    store, study = MemoryStore(), tiny_study(batch_sizes=(4, 6))
    lr_batch.run(study, store)
    store.kept = {id: rows._replace(device="NVIDIA X") for id, rows in store.kept.items()}
    assert lr_batch.run(study, store).num_trials == study.num_trials
    store.kept.pop(next(iter(store.kept)))
    with pytest.raises(
        lr_batch.StudyError, match="trained on NVIDIA X, here is cpu, and a study keeps to one"
    ):
        lr_batch.run(study, store)


def test_chunk_resumed_in_the_middle_ends_with_the_same_numbers(result, monkeypatch):
    """The lanes are saved after every slice and the run stops in the middle; the next run goes on from there."""
    monkeypatch.setattr(chunk_run, "CHECKPOINT_SECONDS", -1.0)

    class Stop(Exception):
        pass

    class StoppingStore(MemoryStore):
        stopped = False

        def save(self, chunk, outcome):
            if isinstance(outcome, Checkpoint):
                outcome = outcome._replace(
                    carry=jax.tree.leaves(outcome.carry)
                )  # as a store on disk gives it back
            super().save(chunk, outcome)
            if isinstance(outcome, Checkpoint) and outcome.step >= 8 and not self.stopped:
                self.stopped = True
                raise Stop

    store = StoppingStore()
    with pytest.raises(Stop):
        run(tiny_study(), store, workers=1)
    assert any(isinstance(kept, Checkpoint) for kept in store.kept.values())
    assert_same_numbers(run(tiny_study(), store), result)


def test_caller_who_stops_loses_nothing_finished(result):
    store, calls = MemoryStore(), []

    def stop(progress):
        calls.append(progress)
        if progress.chunks_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny_study(), store, stop)
    assert 2 <= sum(isinstance(kept, ChunkResult) for kept in store.kept.values()) < 8
    assert_same_numbers(run(tiny_study(), store), result)


@pytest.mark.parametrize("lanes", ["map", "blocks"])
def test_lanes_one_after_the_other_reach_the_goal_at_the_same_steps(result, lanes):
    mapped = lr_batch.run(tiny_study(lanes=lanes))
    np.testing.assert_array_equal(mapped.status, result.status)
    np.testing.assert_allclose(mapped.steps_to_goal, result.steps_to_goal, rtol=1e-4)


def test_number_of_workers_changes_nothing(result):
    assert_same_numbers(run(tiny_study(), workers=1), result)
    assert_same_numbers(run(tiny_study(), workers=3), result)


def test_grid_grows_where_the_best_rate_is_on_its_edge():
    low_rates = tiny_study(space={"learning_rate": (0.01, 0.02, 0.04)}, extend=True, budget=400)
    result = run(low_rates)
    assert result.hparams["learning_rate"].max() > 0.04
    assert any("rates added" in event for event in result.engine.events)
    assert_same_numbers(run(low_rates), result)  # the race against known results is repeatable
    kept = run(dataclasses.replace(low_rates, extend=False))
    assert kept.hparams["learning_rate"].max() == 0.04


def test_out_of_memory_halves_the_width_and_says_so(result, monkeypatch):
    true_run = task_run.run_chunk

    def small_memory(engine, device, chunk, terms, **options):
        if engine.width > 1 and chunk.batch_size == 40:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
        return true_run(engine, device, chunk, terms, **options)

    monkeypatch.setattr(task_run, "run_chunk", small_memory)
    narrow = run(tiny_study(slack=float("inf")))
    monkeypatch.undo()
    wide = run(tiny_study(slack=float("inf")))
    assert any("out of memory with 4 lanes" in event for event in narrow.engine.events)
    np.testing.assert_allclose(
        narrow.steps_to_goal, wide.steps_to_goal, rtol=1e-3
    )  # widths change the last bits


def test_trial_that_never_fits_is_left_out_with_its_reason(monkeypatch):
    def no_memory(engine, device, chunk, terms, **options):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(task_run, "run_chunk", no_memory)
    result = lr_batch.run(tiny_study(batch_sizes=(4,), seeds=1))
    assert result.num_trials == 0
    assert sum("infeasible" in event for event in result.engine.events) == 4


def raising(hparams):
    raise RuntimeError("my optimizer is broken\nand has a long story")


def wrong_shape(hparams):
    return optax.GradientTransformation(lambda p: (), lambda g, s, p=None: ({"other": g["w"]}, s))


def not_traceable(hparams):
    return optax.sgd(float(hparams["learning_rate"]))


@pytest.mark.parametrize("optimizer", [raising, wrong_shape, not_traceable])
def test_broken_optimizer_is_one_clear_line(optimizer):
    with pytest.raises(
        StudyError,
        match=rf"^{optimizer.__name__}(: the update of the parameters is another tree| cannot be built: ).+$",
    ) as error:
        lr_batch.run(tiny_study(optimizer=optimizer))
    assert "\n" not in str(error.value)


def test_edited_code_is_another_study():
    from lr_batch.engine.identity import program_hash

    workload = tiny_workload()
    heavier = workload._replace(loss=lambda p, b, k: 2.0 * workload.loss(p, b, k))
    hashes = {
        program_hash(tiny_study(workload=w, optimizer=o))
        for w in (workload, heavier)
        for o in (sgd, slow_sgd)
    }
    assert len(hashes) == 4
    assert program_hash(tiny_study(workload=new_workload())) == program_hash(tiny_study())


def slow_sgd(hparams):
    return optax.sgd(0.5 * hparams["learning_rate"])


@pytest.mark.parametrize("workload", ["digits_mlp", pytest.param("digits_cnn", marks=pytest.mark.slow)])
def test_an_accelerator_is_given_another_program_with_the_same_numbers(workload, monkeypatch):
    """Its micro-batches, convolutions and orders of examples, compiled here for a CPU."""
    study = lr_batch.Study(
        workload,
        batch_sizes=(4, 700),
        space={"learning_rate": (0.05, 0.2)},
        seeds=1,
        goal=lr_batch.Goal("loss", 1.5),
        budget=60,
        extend=False,
        lanes="vmap",
    )
    ours = lr_batch.run(study)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    theirs = lr_batch.run(study)
    assert np.isfinite(ours.steps_to_goal).any()
    np.testing.assert_allclose(theirs.steps_to_goal, ours.steps_to_goal, rtol=2e-3)
    for a, b in zip(ours.curves, theirs.curves, strict=True):
        np.testing.assert_allclose(b.values, a.values, rtol=2e-3)


def test_evaluations_of_parts_change_no_training():
    """Where they read all rows they give the bits of a study that always does; else what a part of the rows gives."""
    rng = np.random.default_rng(1)
    held_out = {
        "x": rng.normal(size=(150, 5)).astype(np.float32),
        "y": rng.integers(0, 3, 150).astype(np.int32),
    }
    fields = dict(
        workload=tiny_workload(eval_data=held_out), batch_sizes=(1, 40), slack=float("inf"), budget=150
    )
    dense, parts = (run(tiny_study(**fields, evaluation_share=share)) for share in (1.0, 0.25))
    same = differ = 0
    for one, other in zip(dense.curves, parts.curves, strict=True):
        shared = np.isin(one.steps, other.steps)
        assert shared.sum() == len(other.steps) < len(one.steps)
        equal = one.values[shared] == other.values
        same, differ = same + equal.sum(), differ + (~equal).sum()
        np.testing.assert_allclose(one.values[shared], other.values, rtol=0.5)
    assert same > 50 and differ > 50
    assert parts.engine.evaluation_share < 0.3 < dense.engine.evaluation_share
