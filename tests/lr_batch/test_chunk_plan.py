"""The one planner of chunks: how trials are cut into chunks, and what becomes of those that do not fit into memory."""

import jax
import numpy as np
import pytest
from tiny import sgd, tiny_study, tiny_workload

import lr_batch
from hparam import Space, TuningPlan, log, study_of, tune
from hparam.tuning import segments
from lr_batch import StudyError, generalization
from lr_batch.engine import Identity
from lr_batch.engine.chunk_plan import ChunkPlan, run_within_memory

FULL = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
SETTINGS = tuple({"learning_rate": rate} for rate in (0.1, 0.2, 0.3, 0.4, 0.5))


@pytest.fixture(scope="module")
def chunk_plan():
    return ChunkPlan.of(tiny_study(lanes="vmap"), useful=3)


def test_trials_are_cut_into_chunks_of_the_width(chunk_plan):
    assert chunk_plan.width == chunk_plan.identity.width == 3
    assert chunk_plan.execution == chunk_plan.identity.lanes == "vmap"
    tasks = chunk_plan.tasks(8, 1, SETTINGS, first=9.0, origins="abcde")
    assert [task.chunk.settings for task in tasks] == [SETTINGS[:3], SETTINGS[3:]]
    assert [task.origins for task in tasks] == [("a", "b", "c"), ("d", "e")]
    assert {(task.width, task.first, task.chunk.seed) for task in tasks} == {(3, 9.0, 1)}


def test_halves_hold_the_same_trials_and_say_their_width(chunk_plan):
    (task, _) = chunk_plan.tasks(8, 1, SETTINGS, origins="abcde")
    halves = task.halves()
    assert [half.chunk.settings for half in halves] == [SETTINGS[:2], SETTINGS[2:3]]
    assert [half.origins for half in halves] == [("a", "b"), ("c",)]
    assert {(half.width, half.chunk.identity.width) for half in halves} == {(2, 2)}
    (single,) = halves[1].halves()
    assert single.width == 1 and single.halves() == []


def test_only_memory_that_does_not_suffice_cuts_a_chunk(chunk_plan):
    task, told = chunk_plan.tasks(8, 1, SETTINGS)[0], []

    def failing(error):
        def run(task):
            raise error

        return run

    note = lambda halves, event: told.append(event)
    assert run_within_memory(task, lambda task: None, note) == [] and told == []
    assert run_within_memory(task, failing(FULL), note) == task.halves()
    assert told == ["batch size 8, seed 1: out of memory with 3 lanes, went on with 2"]
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        run_within_memory(task, failing(jax.errors.JaxRuntimeError("INTERNAL: broken")), note)


def out_of_memory_above(width, function, width_of):
    """`function`, as if the machine had memory for so many lanes."""

    def small(*args, **options):
        if width_of(*args) > width:
            raise FULL
        return function(*args, **options)

    return small


def test_generalization_goes_on_with_half_the_lanes(monkeypatch):
    study = tiny_study(batch_sizes=(8,))
    wide = lr_batch.generalize(study, 2)
    true_train = generalization._Runner._train
    small = out_of_memory_above(2, true_train, lambda runner, chunk, width, device: width)
    monkeypatch.setattr(generalization._Runner, "_train", small)
    progress = []
    narrow = lr_batch.generalize(study, 2, on_chunk=lambda done, planned: progress.append((done, planned)))
    assert progress[-1] == (4, 4)
    np.testing.assert_array_equal(narrow.hparams["learning_rate"], wide.hparams["learning_rate"])
    np.testing.assert_array_equal(narrow.seed, wide.seed)
    np.testing.assert_allclose(narrow.held_out["loss"], wide.held_out["loss"], rtol=1e-5)
    none = out_of_memory_above(0, true_train, lambda runner, chunk, width, device: width)
    monkeypatch.setattr(generalization._Runner, "_train", none)
    with pytest.raises(
        StudyError, match="batch size 8, seed .: infeasible, out of memory with a single trial"
    ):
        lr_batch.generalize(study, 2)


def test_generalization_executes_lanes_as_the_study_says():
    batched, single = (
        lr_batch.generalize(tiny_study(batch_sizes=(8,), lanes=way), 2) for way in ("vmap", "map")
    )
    np.testing.assert_allclose(single.held_out["loss"], batched.held_out["loss"], rtol=1e-5)
    study = tiny_study(batch_sizes=(8,), lanes="map")
    runner = generalization._Runner(study, 2, None)
    assert runner.plan.execution == runner.tasks()[0].chunk.identity.lanes == "map"
    assert runner.plan.identity.epochs == 2.0 and isinstance(runner.plan.identity, Identity)


def test_a_search_goes_on_with_half_the_lanes(monkeypatch):
    """Through rungs: lanes of narrow chunks go on in narrow chunks, to the same losses."""
    space = Space({"learning_rate": log(1e-2, 3.0)})
    fields = dict(workload=tiny_workload(), optimizer=sgd, batch_sizes=(8,), budget=9, lanes="vmap")
    plan = TuningPlan(
        study_of(space, {}, **fields), space, search="asha", trials=6, ask=8, width=4, confirm=1
    )
    wide = tune(plan)
    for name in ("run_chunk", "run_segment"):
        small = out_of_memory_above(2, getattr(segments, name), lambda engine, *args: engine.width)
        monkeypatch.setattr(segments, name, small)
    narrow = tune(plan)
    assert any("out of memory with 4 lanes, went on with 2" in note for note in narrow.notes)
    assert wide.events == () and len(narrow.rounds) == len(wide.rounds)
    for one, other in zip(narrow.rounds, wide.rounds, strict=True):
        np.testing.assert_allclose(one.losses, other.losses, rtol=1e-5)


class Kept(dict):
    """A store in memory: id -> (chunk, outcome)."""

    def load(self, chunk):
        return self.get(chunk.id, (None, None))[1]

    def save(self, chunk, outcome):
        self[chunk.id] = chunk, outcome

    def widths(self):
        return sorted(chunk.identity.width for chunk, _ in self.values())


def test_what_is_missing_is_cut_where_memory_allows_fewer_lanes_now(monkeypatch):
    """Two of four chunks are kept, of four lanes each; the trials of the others run one at a time, once."""
    study, kept = tiny_study(batch_sizes=(4, 6), seeds=2, lanes="vmap", extend=False), Kept()
    whole = lr_batch.run(study, kept)
    assert kept.widths() == [4] * 4
    for chunk, _ in [*kept.values()]:
        if chunk.batch_size == 6:
            del kept[chunk.id]
    monkeypatch.setattr("lr_batch.engine.memory.memory_budget", lambda mesh: 1.0)
    cut = lr_batch.run(study, kept, width=4)
    assert kept.widths() == [1] * 8 + [4] * 2
    assert "memory allows 1 lane now, finished chunks have 4" in cut.engine.events
    assert cut.num_trials == whole.num_trials
    again = lr_batch.run(study, kept, width=4)
    assert again.engine.examples == 0 and len(kept) == 10
