"""A wrong kind of argument is said as what was handed over; what works, and errors of others, stay as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hparam
import lr_batch
import optim
import reg
from optim.arguments import explain_arguments


class Thing(NamedTuple):
    size: int


@explain_arguments
def made(
    thing: Thing,
    rate: float = 0.1,
    names: Sequence[str] = (),
    table: Mapping[str, float] | None = None,
    call: Callable[[], None] | None = None,
    kind: Literal["a", "b"] = "a",
):
    """Fails with errors of Python's own."""
    sizes = [name.upper() for name in names]
    return (thing.size + rate, sizes, (table or {}).get("x"), call and call(), {"a": 1, "b": 2}[kind])


WRONG = [
    ({"thing": 3}, "made: thing must be a Thing, got 3"),
    ({"rate": "x"}, "made: rate must be a number, got 'x'"),
    ({"names": 5}, "made: names must be a list of text, got 5"),
    ({"names": ["a", 1]}, "made: names must be a list of text, got a list"),
    ({"table": [1]}, "made: table must be a mapping from names or None, got a list"),
    ({"call": object()}, "made: call must be a function or None, got an object"),
    ({"kind": "c"}, "made: kind must be one of a, b, got 'c'"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_what_made_a_call_fail_is_said(wrong, said):
    with pytest.raises(ValueError) as error:
        made(**{"thing": Thing(1), **wrong})
    assert str(error.value) == said


@pytest.mark.parametrize("rate", [1, 0.5, np.float32(0.5), np.int64(2), jnp.float32(0.5), np.array(0.5)])
def test_numbers_of_every_kind_pass(rate):
    assert made(Thing(1), rate)[0] == 1 + rate


def test_errors_that_no_argument_explains_stay():
    def fails():
        return {}["inside"]

    with pytest.raises(KeyError, match="inside"):
        made(Thing(1), call=fails)

    def refuses():
        raise ValueError("said by itself")

    with pytest.raises(ValueError, match="^said by itself$"):
        made(Thing(1), call=refuses, kind="c")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'thing'"):
        made()
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        made(Thing(1), colour=1)


SPACE = {"learning_rate": [0.1]}
TINY = lr_batch.as_workload("noisy_quadratic")


def test_a_rate_that_follows_steps_in_any_way_is_a_schedule():
    for schedule in (optax.constant_schedule(0.1), lambda step: 0.1 if step < 5 else 0.01, lambda step: 1):
        assert optim.sgd(schedule)


PUBLIC = {
    "study: follow must be True or False, got masked_array.data=.1, --., mask=.False, *True., ": lambda: (
        lr_batch.Study(TINY, follow=np.ma.array([1, 2], mask=[False, True]))
    ),
    "lars: mask must give a tree of booleans like the parameters, .*; got ..": lambda: optim.lars(
        0.1, mask=lambda params: ()
    ).init({"w": jnp.ones((2, 2))}),
    "class_losses: loss_fn.params, batch, key., with each label in .*, failed: IndexError": lambda: (
        reg.class_losses(
            lambda params, batch, key: params[batch["y"]],
            np.float32(3),
            {"y": np.zeros(2, int)},
            jax.random.key(0),
            3,
        )
    ),
    "norm_scales: params must be those of noisy_quadratic": lambda: lr_batch.norm_scales(
        TINY, {"other": jnp.ones(2)}, jax.random.key(0)
    ),
    "measure_noise_scale: params must be those of noisy_quadratic": lambda: lr_batch.measure_noise_scale(
        TINY, {"w": jnp.ones(7)}, jax.random.key(0)
    ),
    "parse_length: num_examples must be a whole number, got a tuple": lambda: lr_batch.parse_length(
        "budget", "10epochs", ()
    ),
    "steps_within: batch_size must be a whole number or a list": lambda: lr_batch.steps_of_trials(
        10, [[1], [2, 3]], None
    ),
    "held_out_sizes: relative_error must be a list": lambda: lr_batch.held_out_sizes([4], [1.0], {}),
    "log_grid: num must be a whole number, got nan": lambda: lr_batch.log_grid(1.0, 2.0, math.nan),
    "scale_by_soap: interval must be an integer >= 1 and < 2.31, got 1e.30": lambda: optim.scale_by_soap(
        interval=10**30
    ),
    "lars: mask is called with one argument, which <lambda>.. does not take": lambda: optim.lars(
        0.1, mask=lambda: True
    ),
    "warmup_stable_decay: init_value must be in .*, got a function": lambda: lr_batch.SCHEDULES[
        "warmup_stable_decay"
    ](0.1, 2, init_value=lambda step: 0.0),
    "run: study must be a Study, got int": lambda: lr_batch.run(3),
    "run: workers must be from 1 to 1024, got 0": lambda: lr_batch.run(lr_batch.Study(TINY), workers=0),
    "longest_trials: trials must be a list of Trial, got a dict": lambda: lr_batch.longest_trials(
        {"a": None}
    ),
    "parse_space: texts must be a list of text, got a range": lambda: hparam.parse_space(range(3)),
    "log_grid: low must be a number, got None": lambda: lr_batch.log_grid(None, 1.0, 3),
    "search: space must be a Space, got dict": lambda: hparam.bayes(SPACE),
    "Space: dimensions must be a mapping from names, got a list": lambda: hparam.Space([1]),
    "linear: high must be a number, got 'x'": lambda: hparam.linear(0.0, "x"),
    "study_of: space must be a Space, got a dict": lambda: hparam.study_of(SPACE, {}),
    "adam: hyperparameters must be a mapping from names to values, got 0.1": lambda: optim.OPTIMIZERS["adam"](
        0.1
    ),
    "l2: hyperparameters must be a mapping from names to values, got 0.1": lambda: reg.REGULARIZERS[
        "l2"
    ].make(0.1),
    "schedule_free: base must be an optax.GradientTransformation, got int": lambda: optim.schedule_free(
        3, 0.1
    ),
    "Space: dimensions must be a mapping from names, got a dict": lambda: hparam.Space({"a": None}),
    "keep_dtypes: inner must be an optax.GradientTransformation": lambda: optim.keep_dtypes(3),
    "parse_space: texts must be a list of text, got a ndarray": lambda: hparam.parse_space(np.ones(2)),
    "one_cycle: init_value must be in": lambda: lr_batch.SCHEDULES["one_cycle"](0.1, 2, init_value=len),
    "muon: hidden must be a function, got dict": lambda: optim.muon(0.1, hidden={}),
    "sgd: learning_rate must be a number or a function from the step to one; a function gives a tuple": (
        lambda: optim.sgd(lambda *a: a)
    ),
    "adam: learning_rate is called with one argument, which <lambda>\\(\\) does not take": (
        lambda: optim.adam(lambda: 1)
    ),
    "adam: learning_rate must be a number or a function from the step to one; calling a .* failed: ": (
        lambda: optim.adam(lambda step: 1 / 0)
    ),
    "shampoo: learning_rate must be a number or a function from the step to one; a function gives None": (
        lambda: optim.shampoo(lambda step: None)
    ),
    "sgd: learning_rate must be a number .*; a function gives complex64 of shape \\(\\)": (
        lambda: optim.sgd(lambda step: 1j)
    ),
    "workload: metrics must be a mapping from the names .*, got a function": (
        lambda: lr_batch.Study(TINY._replace(metrics=lambda outputs, y: y))
    ),
    "workload: metrics must map names to lr_batch.Metric.*, f1 is a function": (
        lambda: lr_batch.Study(TINY._replace(metrics={"f1": lambda outputs, y: y}))
    ),
    "workload: init must be a function, got None": lambda: lr_batch.Study(TINY._replace(init=None)),
    "workload: weights must be a function or None, got 3": lambda: lr_batch.Study(TINY._replace(weights=3)),
    "num_examples: data must be arrays with one row for each example, got float": lambda: (
        lr_batch.num_examples(0.3)
    ),
}


@pytest.mark.parametrize("said", PUBLIC)
def test_public_functions_say_it(said):
    with pytest.raises(ValueError, match=f"^{said}"):
        PUBLIC[said]()


def test_an_array_with_gaps_is_no_mask_and_is_told_in_one_line():
    gaps = np.ma.masked_array([1, 2], [False, True])
    with pytest.raises(
        ValueError, match="^lars: mask must be 'matrices', 'all', .* got masked_array"
    ) as error:
        optim.lars(0.1, mask=gaps)
    assert "\n" not in str(error.value)


def test_what_is_no_array_and_what_is_no_count_is_told():
    with pytest.raises(ValueError, match="^state_bytes: params must be a tree of arrays, or of their shapes"):
        optim.state_bytes(optax.sgd(0.1), {"w": ValueError})
    batch = {"x": jnp.zeros(1), "y": jnp.zeros(1, int)}
    with pytest.raises(ValueError, match="^class_losses: num_classes must be an integer >= 1, got nan"):
        reg.class_losses(
            lambda params, batch, key: params, jnp.zeros(2), batch, jax.random.key(0), float("nan")
        )
