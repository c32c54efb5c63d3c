"""A study in order passes and is told what was checked; switches of JAX and slips of the keyboard are refused."""

from __future__ import annotations

import sys
import time
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checked_study import workload_of
from tiny import tiny_study, tiny_workload

import lr_batch
from lr_batch import StudyError
from lr_batch.checks.probe import Probe
from lr_batch.checks.whole_set import check_cuts


def test_a_study_in_order_passes_quickly_and_says_what_was_checked():
    study = lr_batch.Study()
    began = time.process_time()
    said = lr_batch.check(study)
    assert time.process_time() - began < 2.0
    assert [line.partition(":")[0] for line in said] == [
        "optimizer",
        "functions",
        "training loss",
        "labels",
        "noise",
        "examples",
        "held-out metrics",
    ]
    again = time.process_time()
    assert lr_batch.check(study) is said and time.process_time() - again < 0.05


def test_what_lies_within_a_study_that_passed_is_not_checked_again(monkeypatch):
    """Settings between its own and some of its seeds are; whatever lies outside or is another question is not."""
    workload, checked = tiny_workload(), []
    monkeypatch.setattr(
        sys.modules["lr_batch.checks.check"],
        "_checked",
        lambda study, to_goal: checked.append(study) or ("said",),
    )
    study = lambda **changed: tiny_study(
        **{"workload": workload, "space": {"learning_rate": (0.1, 0.4)}, "seeds": (3, 5)} | changed
    )
    for asked in (study(), study(space={"learning_rate": (0.25,)}, seeds=(5,))):
        assert lr_batch.check(asked) == ("said",)
    assert len(checked) == 1
    further = (
        {"space": {"learning_rate": (0.5,)}},
        {"seeds": (3, 4)},
        {"goal": "loss<0.1"},
        {"workload": tiny_workload()},
    )
    for number, changed in enumerate(further, 2):
        lr_batch.check(study(**changed))
        assert len(checked) == number


@pytest.mark.parametrize("name", ["digits_cnn", "noisy_quadratic", "pydoc_lm"])
def test_workloads_of_the_registry_pass(name):
    assert lr_batch.check(lr_batch.Study(workload=name, seeds=1))


@pytest.mark.parametrize("size", [0, -1, 1.5, float("nan"), False, None])
def test_a_micro_batch_must_be_a_whole_number(size):
    with pytest.raises(ValueError, match="micro_batch must be a whole number >= 1"):
        tiny_study(workload=tiny_workload(micro_batch=size))
    with pytest.raises(ValueError, match="micro_batch must be a whole number >= 1"):
        workload_of(micro_batch=size)


SWITCHES = dict.fromkeys(("jax_enable_x64", "jax_debug_nans", "jax_debug_infs", "jax_disable_jit"), True)
SWITCHES["jax_numpy_dtype_promotion"] = "strict"


@pytest.mark.parametrize("switch", SWITCHES)
def test_switches_of_jax_are_refused_in_one_line(switch):
    study = tiny_study()
    before = getattr(jax.config, switch)
    jax.config.update(switch, SWITCHES[switch])
    try:
        with pytest.raises(StudyError, match=f"{switch} is (on|strict): "):
            lr_batch.check(study)
    finally:
        jax.config.update(switch, before)


def test_slips_of_the_keyboard_are_one_line():
    with pytest.raises(ValueError, match="slack must be"):
        tiny_study(slack=None)
    with pytest.raises(ValueError, match="evaluate must return metrics by name, got None"):
        tiny_study(workload=tiny_workload(evaluate=lambda params, batch: None))
    goal = tiny_study(goal=lr_batch.Goal("loss", cast(float, np.float32(0.25)))).goal
    assert type(goal.threshold) is float
    assert lr_batch.run(tiny_study(goal=goal, batch_sizes=(4,), seeds=1, budget=3)).num_trials == 4


@pytest.mark.parametrize(
    ("shape", "rows"), [((64,), 64), ((32, 32, 3), 64), ((96, 96, 3), 18), ((224, 224, 3), 8)]
)
def test_batches_that_are_tried_are_smaller_where_examples_are_large(shape, rows):
    x = np.broadcast_to(np.float32(0), (100, *shape))
    assert Probe(tiny_workload(train_data={"x": x, "y": np.zeros(100, np.int32)})).rows == rows


def test_a_metric_of_the_whole_set_is_tried_in_batches_as_small(monkeypatch):
    """All activations of such a batch lie in memory at once."""
    monkeypatch.setattr("lr_batch.checks.probe.NUMBERS", 8)
    seen = []

    def evaluate(params, batch):
        seen.append(len(batch["y"]))
        return {"top": (batch["y"].astype(jnp.float32), batch["y"])}

    top = lr_batch.Metric(
        init=lambda: jnp.zeros(()),
        accumulate=lambda state, outputs, y, weights: jnp.maximum(state, (outputs * weights).max()),
        finish=lambda state: state,
    )
    x = np.zeros((100, 1), np.float32)
    data = {"x": x, "y": np.arange(100, dtype=np.int32)}
    workload = tiny_workload(train_data=data, eval_data=data, evaluate=evaluate, metrics={"top": top})
    assert check_cuts(Probe(workload), "top") and set(seen) == {8}
