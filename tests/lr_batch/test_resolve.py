"""What names and a user's own objects stand for."""

import functools

import jax
import numpy as np
import optax
import pytest
from tiny import sgd, tiny_study, tiny_workload

import lr_batch
import optim
from lr_batch.lanes.lane import make_lane


def test_names_rows_and_functions_are_rows():
    assert (
        lr_batch.as_optimizer("adam")
        is optim.OPTIMIZERS["adam"]
        is lr_batch.as_optimizer(optim.OPTIMIZERS["adam"])
    )
    own = lr_batch.as_optimizer(sgd)
    assert (own.name, own.make, own.space) == ("sgd", sgd, optim.OPTIMIZERS["sgd"].space)
    assert own.further and not optim.OPTIMIZERS["sgd"].further
    assert lr_batch.as_optimizer(functools.partial(sgd)).name == "custom"


def test_a_function_says_more_of_itself_by_attributes():
    def mine(hparams):
        return optax.sgd(hparams["rate"])

    mine.hparams = {"learning_rate": optim.Range(low=1.0), "rate": optim.Range()}
    mine.space, mine.name, mine.step_kind = {"learning_rate": (2.0,), "rate": (0.1,)}, "ours", "adam"
    row = lr_batch.as_optimizer(mine)
    assert (row.name, row.space, row.step_kind, row.further) == ("ours", mine.space, "adam", False)
    assert tiny_study(optimizer=mine, space=None).space == mine.space
    with pytest.raises(ValueError, match=r"unknown hyperparameter of ours 'rat'; did you mean 'rate'"):
        tiny_study(optimizer=mine, space={"learning_rate": (2.0,), "rat": (0.1,)})
    with pytest.raises(ValueError, match=r"ours: learning_rate must be in \[1, inf\), got 0.5"):
        tiny_study(optimizer=mine, space={"learning_rate": (0.5,), "rate": (0.1,)})


@pytest.mark.parametrize("hook", ["hparams", "space", "eval_params", "step_kind"])
def test_an_attribute_of_a_wrong_kind_is_one_line(hook):
    wrong = functools.partial(sgd)
    setattr(wrong, hook, 3)
    with pytest.raises(ValueError, match=f"optimizer custom: its attribute {hook} must be a .*, got 3$"):
        lr_batch.as_optimizer(wrong)


def test_lanes_are_evaluated_where_the_function_says():
    def mine(hparams):
        return optax.sgd(hparams["learning_rate"])

    mine.eval_params = lambda opt_state, params: jax.tree.map(lambda leaf: leaf + 2.0, params)
    lane = make_lane(tiny_workload(), lr_batch.as_optimizer(mine), "loss")
    state = lane.init({"learning_rate": 0.1}, 0, np.True_)
    np.testing.assert_array_equal(lane.outcome(state)["w"], state.params["w"] + 2.0)


def test_an_object_that_cannot_be_hashed_is_an_optimizer_too():
    class Mine:
        __hash__ = None

        def __call__(self, hparams):
            return optax.sgd(hparams["learning_rate"])

    assert hash(lr_batch.as_optimizer(Mine()).make)


def test_workloads_are_named_given_or_made():
    workload = tiny_workload()
    assert lr_batch.as_workload(workload) is workload is lr_batch.as_workload(lambda: workload)
    assert lr_batch.as_workload("digits_mlp", width=3).init(jax.random.key(0))["head"]["kernel"].shape[0] == 3
    assert tiny_study(workload=lambda: workload).workload is workload
    with pytest.raises(
        ValueError,
        match=r"workload: calling wrong\(\) failed: ZeroDivisionError: division by zero \(test_resolve.py, line \d+\)$",
    ):
        lr_batch.as_workload(wrong)
    with pytest.raises(
        ValueError, match="workload must be a name, a Workload or a function that makes one, got int"
    ):
        lr_batch.as_workload(lambda: 7)


def test_options_of_a_workload_that_is_made_already_are_refused():
    with pytest.raises(ValueError, match="workload: tiny is made already, so it takes no width"):
        lr_batch.as_workload(tiny_workload(), width=3)


def wrong():
    return 1 / 0
