"""Optimizers that cannot be built, and updates of another shape: refused before training, with the place."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from checked_study import refused, workload_of
from tiny import tiny_study

import lr_batch

RNG, CALLS, KEY = np.random.default_rng(1), [], jax.random.key(0)


def one_row(hparams):
    return optax.stateless(lambda updates, params: jax.tree.map(lambda g: -0.1 * g[:1], updates))


def widening(hparams):
    """A state that becomes an array of another dtype."""
    update = lambda updates, state, params=None: (
        jax.tree.map(lambda g: -hparams["learning_rate"] * g, updates),
        state + 0.5,
    )
    return optax.GradientTransformation(lambda params: jnp.int32(0), update)


def alone(hparams):
    """Updates without a state, in a tree that unpacks into two names."""
    return optax.GradientTransformation(lambda params: (), lambda updates, state, params=None: updates)


def random_once(hparams):
    """The same noise at every step, since NumPy draws while the step is traced."""
    noisy = lambda updates, params: jax.tree.map(
        lambda g: -hparams["learning_rate"] * g * RNG.normal(), updates
    )
    return optax.stateless(noisy)


def numbered(hparams):
    CALLS.append(1)
    return optax.sgd(hparams["learning_rate"] / len(CALLS))


def constant_key(hparams):
    """Noise from a key that is a constant of the program and stays as it is."""
    noise = lambda g: g + 0.1 * jax.random.normal(KEY, g.shape)
    step = lambda updates, params: jax.tree.map(lambda g: -hparams["learning_rate"] * noise(g), updates)
    return optax.stateless(step)


def counts(hparams):
    """A state that begins as a number of Python."""
    update = lambda updates, state, params=None: (
        jax.tree.map(lambda g: -hparams["learning_rate"] * g, updates),
        state + 1,
    )
    return optax.GradientTransformation(lambda params: 0, update)


def pruned(hparams):
    return optax.stateless(lambda updates, params: {})


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (one_row, r"the update of w has shape \(1, 3\), its parameter \(5, 3\)"),
        (widening, "after a step its state .* is float32, before it int32"),
        (pruned, "another tree than"),
        (alone, r"its update must return a pair \(updates, state\), got dict"),
        (lambda hparams: None, "must return an optax.GradientTransformation, got None"),
    ],
)
def test_an_update_of_another_shape_is_refused(optimizer, said):
    refused(said=said, optimizer=optimizer)


@pytest.mark.parametrize("optimizer", [random_once, numbered])
def test_steps_that_python_draws_or_counts_are_refused(optimizer):
    refused(said="builds other steps each time it is called", optimizer=optimizer)


AFFINE = (
    lambda key: {"w": jnp.zeros((5, 3)), "b": jnp.zeros(3)},
    lambda params, x: x @ params["w"] + params["b"][None],
)


def masked(hparams):
    return optax.masked(optax.adam(hparams["learning_rate"]), {"w": True, "b": False})


def frozen_by_identity(hparams):
    rules = {"trained": optax.sgd(hparams["learning_rate"]), "frozen": optax.identity()}
    return optax.multi_transform(rules, {"w": "trained", "b": "frozen"})


def frozen(hparams):
    rules = {"trained": optax.sgd(hparams["learning_rate"]), "frozen": optax.set_to_zero()}
    return optax.multi_transform(rules, {"w": "trained", "b": "frozen"})


def without_minus(hparams):
    return optax.chain(optax.scale_by_adam(), optax.scale(hparams["learning_rate"]))


def with_two(hparams):
    return optax.chain(optax.sgd(hparams["learning_rate"]), optax.scale(-1.0))


def slowly_uphill(hparams):
    rate = lr_batch.SCHEDULES["cosine"](hparams["learning_rate"], 200, warmup_steps=20)
    return optax.chain(optax.trace(0.9), optax.add_decayed_weights(0.1), optax.scale_by_schedule(rate))


def noisy_uphill(hparams):
    return optax.chain(optax.add_noise(10.0, 0.0, 0), optax.scale(hparams["learning_rate"]))


@pytest.mark.parametrize("optimizer", [masked, frozen_by_identity])
def test_a_gradient_that_is_passed_on_as_it_is_is_refused(optimizer):
    refused(workload_of(AFFINE), "its updates of b go uphill, as they are added", optimizer=optimizer)


@pytest.mark.parametrize("optimizer", [without_minus, with_two, slowly_uphill, noisy_uphill])
def test_a_chain_without_its_minus_is_refused(optimizer):
    refused(workload_of(AFFINE), "its updates of . go uphill", optimizer=optimizer)


def test_noise_that_outweighs_the_gradient_goes_downhill_all_the_same():
    def noisy(hparams):
        return optax.noisy_sgd(hparams["learning_rate"], eta=100.0, key=0)

    assert lr_batch.check(tiny_study(workload=workload_of(AFFINE), optimizer=noisy))


GROWING = {
    "after the minus": lambda h: optax.chain(optax.sgd(h["learning_rate"]), optax.add_decayed_weights(0.1)),
    "below zero": lambda h: optax.adamw(h["learning_rate"], weight_decay=-1e-2),
    "by hand": lambda h: optax.chain(
        optax.adam(h["learning_rate"]),
        optax.stateless(lambda u, p: jax.tree.map(lambda u, p: u + h["learning_rate"] * 0.01 * p, u, p)),
    ),
    "of one leaf": lambda h: optax.chain(
        optax.adam(h["learning_rate"]), optax.masked(optax.add_decayed_weights(0.1), {"w": True, "b": False})
    ),
}
SHRINKING = {
    "AdamW": lambda h: optax.adamw(h["learning_rate"], weight_decay=0.1),
    "decoupled": lambda h: optax.chain(optax.sgd(h["learning_rate"]), optax.add_decayed_weights(-0.1)),
    "LAMB": lambda h: optax.lamb(h["learning_rate"], weight_decay=0.1),
    "noise": lambda h: optax.noisy_sgd(h["learning_rate"], eta=10.0, key=0),
}


@pytest.mark.parametrize("kind", GROWING)
def test_a_decay_that_makes_parameters_grow_is_refused(kind):
    refused(workload_of(AFFINE), "its updates make w grow whatever the gradient is", optimizer=GROWING[kind])


@pytest.mark.parametrize("kind", SHRINKING)
def test_a_decay_that_shrinks_parameters_passes(kind):
    assert lr_batch.check(tiny_study(workload=workload_of(AFFINE), optimizer=SHRINKING[kind]))


@pytest.mark.parametrize("optimizer", [counts, constant_key])
def test_a_state_may_begin_as_a_number_of_python_and_a_key_be_a_constant(optimizer):
    assert lr_batch.check(tiny_study(optimizer=optimizer))


def test_frozen_parameters_pass():
    assert lr_batch.check(tiny_study(workload=workload_of(AFFINE), optimizer=frozen))


def warmup_cosine(hparams):
    return optax.adam(optax.warmup_cosine_decay_schedule(0.0, hparams["learning_rate"], 20, 200))


def as_float(hparams):
    return optax.adam(float(hparams["learning_rate"]))


def decided(hparams):
    return optax.sgd(hparams["learning_rate"] if hparams["learning_rate"] > 0.5 else 0.5)


def short_name(hparams):
    return optax.sgd(hparams["lr"])


def leaves(hparams):
    raise SystemExit(4)


def lookahead(hparams):
    return optax.lookahead(optax.sgd(hparams["learning_rate"]), sync_period=5, slow_step_size=0.5)


def narrowed(hparams):
    """Its steps are of another data type than the parameters, which a branch around it does not take."""
    narrow = lambda grads, params: jax.tree.map(lambda g: (-0.1 * g).astype(jnp.bfloat16), grads)
    return optax.apply_if_finite(optax.stateless(narrow), 2)


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (narrowed, "cannot be built: TypeError: .*put what does so into optim.keep_dtypes"),
        (
            warmup_cosine,
            r"test_checks_of_optimizers.py, line \d+\); hyperparameters are traced.*lr_batch.SCHEDULES",
        ),
        (as_float, r"test_checks_of_optimizers.py, line \d+\); hyperparameters are traced"),
        (decided, r"test_checks_of_optimizers.py, line \d+\); hyperparameters are traced"),
        (short_name, "KeyError: 'lr'.*searched are learning_rate"),
        (lookahead, "given the model's parameters as they are"),
        (leaves, r"cannot be built: SystemExit: 4 \(test_checks_of_optimizers.py"),
        (
            lambda h: optax.contrib.sam(optax.sgd(h["learning_rate"]), optax.sgd(0.1)),
            r"let it take \*\*extra",
        ),
        (optax.adam, r"write lambda hparams: adam\(hparams\['learning_rate'\]\)"),
        (optax.sgd, r"write lambda hparams: sgd\(hparams\['learning_rate'\]\)"),
    ],
)
def test_an_optimizer_that_cannot_be_built_says_where_and_what_to_do(optimizer, said):
    refused(said=said, optimizer=optimizer)


def test_a_rate_beside_a_large_weight_decay_of_its_own_acts():
    """Decay that no rate scales moves parameters farther than any of the rates does."""

    def decoupled(hparams):
        step = optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(hparams["learning_rate"]))
        return optax.chain(step, optax.add_decayed_weights(-0.05))

    assert lr_batch.check(tiny_study(optimizer=decoupled, space={"learning_rate": (1e-5, 1e-4)}))
