"""Functions that are handed over are asked by their signature, before anything is trained."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hparam
import lr_batch
import optim
import reg
from optim.functions import check_functions


def made(
    one: Callable[[int], None] | None = None,
    several: Mapping[str, Callable[[Any, Any], Any] | tuple] | None = None,
    any_of_them: Callable[..., Any] | None = None,
    unknown: Callable | None = None,
):
    """Annotated as public functions are."""


class Called:
    def __call__(self, one, two):
        return one, two


FITTING = [
    {"one": lambda progress: None},
    {"one": lambda *all_of_them: None},
    {"one": lambda progress, further=0: None},
    {"one": functools.partial(lambda done, planned: None, 1)},
    {"one": print},
    {"one": len},
    {"one": None},
    {"one": 3},  # which is no function: that is said where it is used
    {"several": {"a": lambda outputs, y: y, "b": (len, len, len)}},
    {"any_of_them": lambda: None, "unknown": lambda: None},
]


@pytest.mark.parametrize("given", FITTING)
def test_what_takes_its_arguments_passes(given):
    check_functions("made", made, given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"one": lambda: 1}, "made: one is called with one argument (int), which <lambda>() does not take"),
        (
            {"one": Called()},
            "made: one is called with one argument (int), which Called(one, two) does not take",
        ),
        ({"one": lambda *, progress: 1}, "(int), which <lambda>(*, progress) does not take"),
        (
            {"several": {"a": lambda y: y}},
            "made: several 'a' is called with 2 arguments, which <lambda>(y) does not take",
        ),
    ],
)
def test_what_takes_others_is_refused(given, said):
    with pytest.raises(ValueError) as error:
        check_functions("made", made, given)
    assert str(error.value).endswith(said)


X, Y = np.eye(6, 3, dtype=np.float32), np.arange(6) % 2
MODEL = (lambda key: jnp.zeros((3, 2)), lambda params, x: x @ params)
LOSS = optax.softmax_cross_entropy_with_integer_labels
NONE = lambda: None
WORKLOAD = lr_batch.from_arrays(MODEL, train=(X, Y), held_out=(X, Y), loss=LOSS, goal="loss<0.5", budget=4)


def study(**fields):
    given = {"workload": WORKLOAD, "batch_sizes": (2,), "space": {"learning_rate": [0.1]}, "seeds": 1}
    return lr_batch.Study(**{**given, **fields})


def from_arrays(**fields):
    given = {"train": (X, Y), "held_out": (X, Y), "loss": LOSS, "goal": "loss<0.5", **fields}
    return lr_batch.from_arrays(MODEL, **given)


def eval_params_of_one(h):
    return optax.sgd(h["learning_rate"])


eval_params_of_one.eval_params = lambda params: params


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: lr_batch.run(study(), on_chunk=NONE),
            "run: on_chunk .*one argument .Progress., which <lambda>",
        ),
        (lambda: lr_batch.generalize(study(), 1.0, on_chunk=NONE), "generalize: on_chunk .*2 arguments"),
        (
            lambda: lr_batch.noise_along_training(study(), on_point=NONE),
            "on_point .*one argument .NoisePoint.",
        ),
        (
            lambda: study(workload=lambda width: WORKLOAD),
            "Study: workload .*no argument, which <lambda>.width.",
        ),
        (lambda: study(optimizer=lambda h, rate: optax.sgd(rate)), "Study: optimizer .*one argument"),
        (lambda: lr_batch.as_optimizer(eval_params_of_one), "eval_params is called with 2 arguments"),
        (lambda: study(workload=WORKLOAD._replace(loss=lambda p, b: 1)), "workload: loss .*3 arguments"),
        (lambda: study(workload=WORKLOAD._replace(weights=NONE)), "workload: weights .*one argument"),
        (lambda: from_arrays(loss=lambda outputs: 1), "from_arrays: loss .*2 arguments"),
        (lambda: from_arrays(metrics={"mine": NONE}), "from_arrays: metrics 'mine' .*2 arguments"),
        (lambda: study(regularizer=reg.REGULARIZERS["l2"]._replace(make=NONE)), "regularizer l2: make .*one"),
        (lambda: optim.adam(NONE), "adam: learning_rate .*one argument"),
        (lambda: optim.muon(0.1, hidden=NONE), "muon: hidden .*2 arguments"),
        (lambda: hparam.zero_readout(WORKLOAD, WORKLOAD, fans=NONE), "zero_readout: fans .*3 arguments"),
        (lambda: reg.class_losses(NONE, {}, {}, None, 2), "class_losses: loss_fn .*3 arguments"),
    ],
)
def test_public_functions_refuse_them_before_anything_is_trained(call, said, monkeypatch):
    monkeypatch.setattr(
        "lr_batch.sweep.check", lambda *args: pytest.fail("nothing is asked of the model before")
    )
    with pytest.raises(ValueError, match=said) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_loss_that_cannot_be_computed_is_said_with_its_call():
    loss = lambda params, batch, key: params["layer"][batch["y"]]
    for params, said in ((-0.0, "TypeError"), ({}, "KeyError: 'layer' .test_functions.py, line ")):
        with pytest.raises(
            ValueError, match=rf"focal: loss_fn\(params, batch, key\), .*0 to 2.*failed: {said}"
        ):
            reg.check_cross_entropy("focal", loss, params, {"y": jnp.zeros(1, int)}, 3)
    with pytest.raises(ValueError, match="focal: batch must be a mapping with the labels y, got a dict"):
        reg.check_cross_entropy("focal", loss, {}, {"x": jnp.zeros(1)}, 3)
