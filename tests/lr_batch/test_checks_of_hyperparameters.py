"""Hyperparameters that nothing reads, that are read in vain, that float32 cannot hold: refused before training."""

from __future__ import annotations

import jax.numpy as jnp
import optax
import pytest
from checked_study import refused
from tiny import tiny_study

import lr_batch
import optim

DIGITS = lr_batch.as_workload("digits_mlp")


def own_rate(hparams):
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))


def own_momentum(hparams):
    return optax.sgd(hparams["learning_rate"], momentum=0.9)


def test_a_hyperparameter_that_nothing_reads_is_refused():
    refused(said="own_rate does not read learning_rate for", optimizer=own_rate)
    space = {"learning_rate": (0.1, 1.0), "momentum": (0.5, 0.9)}
    refused(said="own_momentum does not read momentum", optimizer=own_momentum, space=space)
    refused(said="sgd does not read weightdecay", space={"learning_rate": (0.1,), "weightdecay": (0.1,)})


@pytest.mark.parametrize(
    "rate", [lambda rate: 0.1 + 0 * rate, lambda rate: jnp.where(rate > 100, rate, 0.1), lambda rate: rate**0]
)
def test_a_rate_that_is_read_in_vain_is_refused(rate):
    refused(
        said="takes the same steps whatever it is", optimizer=lambda h: optax.sgd(rate(h["learning_rate"]))
    )


def test_a_rate_that_is_left_in_the_rounding_of_steps_or_rounded_to_none_is_refused():
    normalised = lambda h: optax.chain(optax.sgd(h["learning_rate"]), optax.normalize_by_update_norm())
    rates = {"learning_rate": (0.1, 0.3)}
    refused(said="takes the same steps whatever it is", optimizer=normalised, space=rates)
    rounded = lambda h: optax.sgd(jnp.round(h["learning_rate"]))
    refused(
        said="changes no parameter at any of the learning rates, up to 0.3", optimizer=rounded, space=rates
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda h: optax.chain(optax.sgd(h["learning_rate"]), optax.clip(1e-3)),
        lambda h: optax.MultiSteps(optax.sgd(h["learning_rate"]), 50).gradient_transformation(),
        lambda h: optax.sgd(lambda count: h["learning_rate"] * jnp.minimum(1.0, count / 100)),
        lambda h: optax.contrib.schedule_free_sgd(h["learning_rate"]),
    ],
    ids=["clipped", "every 50th step", "warm-up from zero", "averaged"],
)
def test_a_rate_that_acts_late_or_within_limits_passes(make):
    assert lr_batch.check(tiny_study(optimizer=make, space={"learning_rate": (0.1, 0.3)}))


def of_one_leaf(h):
    rules = {"twice": optax.chain(optax.sgd(h["learning_rate"]), optax.scale(h["learning_rate"]))}
    return optax.multi_transform(rules, {"w": "twice"})


@pytest.mark.parametrize(
    "make",
    [
        lambda h: optax.chain(optax.adam(h["learning_rate"]), optax.scale(h["learning_rate"])),
        lambda h: optax.chain(optax.scale(-1.0), *[optax.scale(h["learning_rate"])] * 2),
        lambda h: optax.chain(
            optax.sgd(h["learning_rate"]), optax.scale_by_schedule(lambda _: h["learning_rate"])
        ),
        of_one_leaf,
    ],
    ids=["Adam's", "scaled", "scheduled", "of one leaf"],
)
def test_a_rate_that_scales_twice_is_refused(make):
    refused(said=r"the first step of w grows with the square of hparams\['learning_rate'\]", optimizer=make)


@pytest.mark.parametrize(
    "make",
    [
        lambda h: optax.adamw(h["learning_rate"], weight_decay=0.5),
        lambda h: optax.sgd(jnp.sqrt(h["learning_rate"])),
        lambda h: optax.contrib.prodigy(h["learning_rate"]),
        lambda h: optax.contrib.schedule_free_adamw(h["learning_rate"]),
        lambda h: optax.lion(h["learning_rate"], weight_decay=0.1),
    ],
    ids=["AdamW", "root", "Prodigy", "schedule-free", "Lion"],
)
def test_a_rate_that_scales_once_passes(make):
    assert lr_batch.check(tiny_study(optimizer=make, space={"learning_rate": (1e-3, 1.0)}))


def in_vain(momentum):
    return lambda h: optax.sgd(h["learning_rate"], momentum=momentum(h["momentum"]))


@pytest.mark.parametrize(
    "momentum",
    [lambda m: 0.9 + 0 * m, lambda m: jnp.where(m > -1, 0.9, m), lambda m: 0.9 * m**0],
)
def test_any_hyperparameter_that_is_read_in_vain_is_refused(momentum):
    space = {"learning_rate": (0.1, 0.3), "momentum": (0.5, 0.9)}
    refused(said="reads momentum, but takes the same steps", optimizer=in_vain(momentum), space=space)


def late_drop(h):
    """Its rate falls after ten thousand steps."""
    return optax.sgd(lambda count: h["learning_rate"] * jnp.where(count > 10_000, h["factor"], 1.0))


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [
        (lambda h: optax.adam(h["learning_rate"], eps=h["eps"]), "eps", (1e-12, 1e-10)),
        (late_drop, "factor", (0.1, 0.5)),
        (
            lambda h: optax.sgd(lambda count: h["learning_rate"] * jnp.where(count < h["steps"], 1.0, 0.1)),
            "steps",
            (1_000, 5_000),
        ),
        (in_vain(lambda m: m), "momentum", (0.5, 0.9)),
    ],
    ids=["too small to be seen", "late", "a length", "plain"],
)
def test_a_hyperparameter_that_acts_weakly_or_late_passes(make, name, values):
    assert lr_batch.check(tiny_study(optimizer=make, space={"learning_rate": (0.1, 0.3), name: values}))


@pytest.mark.parametrize("name", [name for name in optim.OPTIMIZERS])
def test_registered_optimizers_read_what_they_say(name):
    from lr_batch.checks.optimizer import check_optimizer

    row = optim.OPTIMIZERS[name]
    defaults = {key: (valid.default,) for key, valid in row.hparams.items() if valid.default is not None}
    study = tiny_study(workload=DIGITS, optimizer=name, space={**defaults, **row.space})
    (said,) = check_optimizer(study)
    assert all(key in said for key in defaults)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"learning_rate": (1e-46, 0.1)}, "1e-46 becomes 0 in float32"),
        ({"learning_rate": (1e-42, 0.1)}, "1e-42 becomes 0 in float32"),
        ({"learning_rate": (1e39,)}, "becomes infinite in float32"),
        ({"learning_rate": (0.1, 0.1000000001)}, "are the same number in float32"),
        (
            {"learning_rate": (0.1,), "b2": (0.99999999,)},
            r"b2 0.99999999 is 1 in float32, and must be in \[0, 1\)",
        ),
    ],
)
def test_values_that_float32_cannot_hold_are_refused(space, said):
    with pytest.raises(ValueError, match=said):
        tiny_study(optimizer="adam", space=space)
