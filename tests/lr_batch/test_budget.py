"""Budgets in examples: fewer steps at larger batches, under one program."""

import dataclasses
import re

import numpy as np
import pytest
from tiny import tiny_study

import lr_batch
from lr_batch import Length
from lr_batch.engine import Checkpoint, Identity

FIELDS = dict(goal="loss<1e-9", slack=np.inf, lanes="vmap")  # every trial spends its budget


def test_a_budget_in_examples_is_spent_at_every_batch_size():
    study = tiny_study(budget="100examples", **FIELDS)
    assert [study.steps_at(size) for size in study.batch_sizes] == [100, 25, 17, 3] and study.max_steps == 100
    programs = lr_batch.Programs()
    result = lr_batch.run(study, programs=programs)
    assert len(programs.compile_seconds) == 2 and result.spent.all()
    assert {(b, s) for b, s in zip(result.batch_size.tolist(), result.steps.tolist(), strict=True)} == {
        (1, 100),
        (4, 25),
        (6, 17),
        (40, 3),
    }
    assert all(curve.steps[-1] == steps for curve, steps in zip(result.curves, result.steps, strict=True))
    in_steps = lr_batch.run(dataclasses.replace(study, budget=25, batch_sizes=(4,)))
    at_4 = result.batch_size == 4
    for mine, curve in zip(np.flatnonzero(at_4), in_steps.curves, strict=True):
        np.testing.assert_array_equal(result.curves[mine].values, curve.values)


def test_epochs_are_examples_and_a_copy_keeps_them():
    study = tiny_study(budget="2.5epochs")
    assert study.budget == Length(100.0, "examples") == dataclasses.replace(study, seeds=3).budget
    assert dataclasses.replace(study, budget=7).max_steps == 7
    assert tiny_study(budget="70").budget == tiny_study(budget=70).budget == 70


def test_identity_holds_value_and_unit():
    described = Identity.of(tiny_study(budget="2epochs"), 4, "vmap").described()
    assert described["budget"] == {"value": 80.0, "unit": "examples"}
    assert Identity.of(tiny_study(budget=80), 4, "vmap").described()["budget"] == 80


def test_a_part_of_a_budget_in_examples_is_of_its_steps():
    space = {"learning_rate": [0.1], "decay_steps": ["50%"]}
    study = tiny_study(budget="200examples", schedule="linear", space=space)
    steps = [study.as_trained(study.settings, size)[0]["decay_steps"] for size in study.batch_sizes]
    assert steps == [100, 25, 17, 3]


class Kept(dict):
    """A store in memory."""

    def load(self, chunk):
        return self.get(chunk.id)

    def save(self, chunk, outcome):
        self[chunk.id] = outcome


def test_a_chunk_in_flight_at_the_time_limit_goes_on_where_it_was(monkeypatch):
    study, store, asked = tiny_study(batch_sizes=(4,), seeds=1, **FIELDS), Kept(), []
    late = lambda sweep: asked.append(sweep) or len(asked) > 3  # two programs, a chunk, and its first slice
    with monkeypatch.context() as patch:
        patch.setattr("lr_batch.sweep._Sweep._is_late", late)
        stopped = lr_batch.run(study, store, workers=1)
    (kept,) = store.values()
    assert isinstance(kept, Checkpoint) and 0 < kept.step < 200 and stopped.num_trials == 0
    assert "4 of 4 trials are missing, at batch sizes 4 (4 of 4)" in stopped.engine.events[-1]
    resumed, whole = lr_batch.run(study, store), lr_batch.run(study)
    assert resumed.engine.examples == whole.engine.examples and not resumed.engine.events
    for one, other in zip(resumed.curves, whole.curves, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_a_time_limit_is_above_0():
    with pytest.raises(ValueError, match="run: time_limit must be above 0 seconds, got 0"):
        lr_batch.run(tiny_study(), time_limit=0)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("50%", "study: budget must be a number of steps, 50_000examples or 10epochs, got '50%'"),
        ("1e300epochs", "study: budget must be of at most 1,000,000,000,000,000 examples, got '1e300epochs'"),
        ("0epochs", "study: budget must be a number of steps"),
        ("many", "study: budget must be a whole number of steps"),
        ("1e12examples", "study: budget in steps must be a whole number from 1 to 1,000,000,000"),
        (0, "study: budget must be a whole number from 1 to 1,000,000,000, got 0"),
    ],
)
def test_mistakes_are_one_line(budget, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        tiny_study(budget=budget)
