"""What every registered optimizer must do, whatever its method."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optim_rows import ROWS, SHAPES, loss, params_of, step, train

import optim
from optim import OPTIMIZERS, state_bytes

LANES = 16


@pytest.fixture(params=ROWS, scope="module")
def row(request):
    return ROWS[request.param]


def given(row) -> list[str]:
    """Hyperparameters that have a default other than None."""
    return [name for name, valid in row.optimizer.hparams.items() if valid.default is not None]


def lanes_of(row):
    """16 settings in which every hyperparameter is moved, inside its range."""
    rng = np.random.default_rng(1)
    defaults = {name: row.optimizer.hparams[name].default for name in given(row)}
    return {name: np.float32(default * rng.uniform(0.5, 1.0, LANES)) for name, default in defaults.items()}


def assert_close(actual, expected, rtol=1e-5):
    """Every leaf within `rtol` of the other, relative to its largest entry."""
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        scale = np.max(np.abs(e), initial=1e-30)
        np.testing.assert_allclose(np.asarray(a) / scale, np.asarray(e) / scale, rtol=0, atol=rtol)


def test_lanes_equal_a_loop_with_one_trace(row):
    traces = []

    def trial(hparams):
        traces.append(1)
        return train(row.optimizer(hparams), params_of(0), row.lane_steps)[0]

    lanes = lanes_of(row)
    one = jax.jit(trial)
    looped = [one({name: column[i] for name, column in lanes.items()}) for i in range(LANES)]
    assert len(traces) == 1
    together = jax.jit(jax.vmap(trial))(lanes)
    assert_close(together, jax.tree.map(lambda *leaves: np.stack(leaves), *looped))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(together))


def test_jit_equals_eager(row):
    """On one matrix, because outside of jit every operation is compiled for every shape."""
    tx = row.optimizer({})
    params, first, second = ({"w": params_of(seed)["w"]} for seed in range(3))

    def two_steps():
        once, state = step(tx, params, tx.init(params), first)
        return step(tx, once, state, second)[0]

    assert_close(jax.jit(two_steps)(), two_steps())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_state_and_updates_keep_their_types(row, dtype):
    """Under `cond` too, whose branches must agree. Nothing is compiled."""
    with jax.enable_x64(dtype == "float64"):
        hparams = {name: jnp.float32(row.optimizer.hparams[name].default) for name in given(row)}

        def once(hparams):
            tx, params = row.optimizer(hparams), params_of(0, dtype)
            before = params, tx.init(params)
            return before, jax.lax.cond(True, lambda: step(tx, *before, params_of(1, dtype)), lambda: before)

        before, after = jax.eval_shape(once, hparams)
        assert before == after
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(after[0]))


def wrapped(row, tx):
    """The optimizer inside every wrapper of Optax that leaves it as it is."""
    inject = optax.inject_hyperparams(getattr(optim, row.optimizer.name))
    everything = {name: True for name in SHAPES}
    return {
        "first": optax.chain(tx, optax.identity()),
        "last": optax.chain(optax.identity(), tx),
        "masked": optax.masked(tx, everything),
        "partition": optax.multi_transform({"all": tx}, {name: "all" for name in SHAPES}),
        "inject": inject(learning_rate=row.optimizer.hparams["learning_rate"].default),
    }


def test_composes(row):
    """Two steps, since the first one of SOAP only sets its bases.

    The target moves in between: the same gradient again is diagonal in those bases, and Adam makes
    signs of the rounding beside the diagonal.
    """
    tx = row.optimizer({})
    forms = {"alone": tx, **wrapped(row, tx)}

    @jax.jit
    def run(params, targets):
        def body(carry, target):
            return {name: step(forms[name], *carry[name], target) for name in forms}, None

        start = {name: (params, form.init(params)) for name, form in forms.items()}
        return {name: carry[0] for name, carry in jax.lax.scan(body, start, targets)[0].items()}

    targets = jax.tree.map(lambda *leaves: np.stack(leaves), params_of(1), params_of(2))
    after = run(params_of(0), targets)
    for name in forms:
        assert_close(after[name], after["alone"])
    assert all(np.any(after["alone"][name] != params_of(0)[name]) for name in SHAPES)


def test_multi_steps_waits_for_the_second_gradient(row):
    tx = row.optimizer({})
    every_other = optax.MultiSteps(tx, 2)

    @jax.jit
    def run(params, target):
        once, state = step(every_other, params, every_other.init(params), target)
        return once, step(every_other, once, state, target)[0], step(tx, params, tx.init(params), target)[0]

    first, second, alone = run(params_of(0), params_of(1))
    assert_close(first, params_of(0), rtol=0)
    assert_close(second, alone)


def test_masks_a_part(row):
    if not row.partial:
        pytest.skip("calls the loss, which takes the whole tree")
    some = {"b": False, "k": True, "s": False, "w": True}
    tx = row.optimizer({})

    def part(tree):
        return {name: leaf for name, leaf in tree.items() if some[name]}

    @jax.jit
    def run(params, grads):
        masked = optax.masked(tx, some)
        inside = masked.update(grads, masked.init(params), params)[0]
        return inside, tx.update(part(grads), tx.init(part(params)), part(params))[0]

    inside, alone = run(params_of(0), params_of(1))
    assert_close(part(inside), alone)
    assert_close(inside["b"], params_of(1)["b"], rtol=0)


def test_zeros_and_huge_and_tiny_gradients_stay_finite(row):
    zero, one = jax.tree.map(jnp.zeros_like, params_of(0)), params_of(0)
    scaled = lambda factor: jax.tree.map(lambda leaf: factor * leaf, one)
    cases = [(zero, zero), (zero, one), (one, zero), (one, scaled(1e12)), (one, scaled(1e-25))]

    @jax.jit
    @jax.vmap
    def run(params, grads):
        tx = row.optimizer({"learning_rate": 1e-3})
        value_fn = functools.partial(lambda grads, p: optax.tree.vdot(grads, p), grads)
        extra = dict(value=value_fn(params), grad=grads, value_fn=value_fn, grad_fn=lambda p: grads)
        state = tx.init(params)
        for _ in range(2):
            updates, state = tx.update(grads, state, params, **extra)
            params = optax.apply_updates(params, updates)
        return params

    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *cases)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run(*stacked)))


def test_empty_tree(row):
    tx = row.optimizer({})
    extra = dict(value=jnp.zeros(()), grad={}, value_fn=lambda p: jnp.zeros(()), grad_fn=lambda p: p)
    updates, _ = jax.eval_shape(lambda: tx.update({}, tx.init({}), {}, **extra))
    assert updates == {}


def test_some_rate_of_the_default_space_solves_a_quadratic(row):
    """Condition number 100, 300 steps, rate falling to 0; the loss falls 10,000-fold."""
    start = {name: params_of(0)[name] for name in row.solves}
    target = jax.tree.map(jnp.ones_like, start)
    fixed = {name: values[0] for name, values in row.optimizer.space.items() if name != "learning_rate"}

    def final(rate):
        tx = row.optimizer({**fixed, "learning_rate": lambda count: rate * (1 - count / 300)})
        carry = start, tx.init(start)
        params, state = jax.lax.scan(lambda c, _: (step(tx, *c, target), None), carry, length=300)[0]
        return loss(row.optimizer.eval_params(state, params), target) / loss(start, target)

    ratios = jax.jit(jax.vmap(final))(jnp.array(row.optimizer.space["learning_rate"]))
    assert jnp.nanmin(ratios) < 1e-4


def test_hyperparameters_out_of_range_are_refused(row):
    name = row.optimizer.name
    for hparam, valid in row.optimizer.hparams.items():
        for bad in (valid.low - 0.5, valid.high + 0.5, float("nan"), float("inf"), "0.1", np.ones(2)):
            with pytest.raises(ValueError, match=rf"{name}: {hparam} must be in"):
                row.optimizer({hparam: bad})
    with pytest.raises(ValueError, match=f"{name}: unknown .* 'learning_rat'; did you mean 'learning_rate'"):
        row.optimizer({"learning_rat": 0.1})


def test_defaults_and_space_are_in_range(row):
    for name, valid in row.optimizer.hparams.items():
        for value in (valid.default, *row.optimizer.space.get(name, ())):
            assert value is None or valid.contains(value)
    rates = row.optimizer.space["learning_rate"]
    assert len(rates) == 16 and sorted(rates) == list(rates)


def test_state_bytes_are_those_allocated(row):
    tx, params = row.optimizer({}), params_of(0)
    table = state_bytes(tx, params)
    state = tx.init(params)
    assert sum(table.state.values()) == sum(jnp.asarray(leaf).nbytes for leaf in jax.tree.leaves(state))
    assert table.weights == table.gradient == 4 * table.num_params == 4 * 29
    assert table.total == 8 * 29 + sum(table.state.values())


def test_unknown_optimizer():
    with pytest.raises(ValueError, match="unknown optimizer 'adamm'; did you mean 'adam'"):
        OPTIMIZERS["adamm"]
