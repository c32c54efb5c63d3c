"""What Optax, Flax and JAX's own machinery ask of every registered optimizer."""

from __future__ import annotations

import copy
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optim_rows import ROWS, params_of, step, update

import optim

ZERO = {"empty": (0,), "s": (), "tall": (3, 0), "w": (3, 3), "wide": (0, 4)}


@pytest.fixture(params=ROWS, scope="module")
def row(request):
    return ROWS[request.param]


def test_unexpected_extra_arguments_pass(row):
    tx, params = row.optimizer({}), params_of(0)
    jax.eval_shape(lambda p: update(tx, p, tx.init(p), p, epoch=3, metrics={"loss": 1.0}), params)


def test_map_params_finds_the_trees_of_parameters(row):
    """As a user who wants a partition spec for every part of the state."""
    if not row.on_meshes:
        pytest.skip("what it takes from Optax does not")
    tx, params = row.optimizer({}), params_of(0)
    state = tx.init(params)
    hidden = lambda node: isinstance(node, optax.MaskedNode)
    specs = {name: name for name in params}
    pick = lambda leaf, spec: leaf if hidden(leaf) else spec
    mapped = optax.tree_map_params(
        tx, pick, state, specs, transform_non_params=lambda leaf: "other", is_leaf=hidden
    )
    assert jax.tree.structure(mapped) == jax.tree.structure(state)
    assert set(jax.tree.leaves(mapped)) <= {*params, "other"}


def test_parameters_and_state_can_be_donated_and_are_compiled_for_once(row):
    tx = row.optimizer({})
    params, target = params_of(0), params_of(1)
    state = tx.init(params)
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((params, state)) if leaf.size]
    assert len(set(buffers)) == len(buffers)
    donating = jax.jit(lambda params, state: step(tx, params, state, target), donate_argnums=(0, 1))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some donated buffers were not usable")
        donating(*donating(params, state))
    assert donating._cache_size() == 1


def test_empty_and_scalar_leaves(row):
    """Numbers of Python too; twice, since SOAP rests in the first step."""
    params = {name: 2.0 if not shape else jnp.full(shape, 2.0) for name, shape in ZERO.items()}
    tx = row.optimizer({})

    @jax.jit
    def two_steps():
        updates, state = update(tx, params, tx.init(params), params)
        return update(tx, params, state, params)[0]

    updates = two_steps()
    assert {name: leaf.shape for name, leaf in updates.items()} == ZERO
    assert all(np.isfinite(leaf).all() for leaf in updates.values())
    assert updates["s"] != 0 and (updates["w"] != 0).all()


def test_zero_gradients_in_float16(row):
    """Where eps = 1e-8 would be 0 and 0 / 0 not a number."""
    tx = row.optimizer({})
    params = params_of(0, "float16")
    zeros = jax.tree.map(jnp.zeros_like, params)

    @jax.jit
    def two_steps():
        _, state = update(tx, zeros, tx.init(params), params)
        return update(tx, zeros, state, params)[0]

    for leaf in jax.tree.leaves(two_steps()):
        assert leaf.dtype == jnp.float16 and np.isfinite(leaf).all()


def test_bfloat16_follows_float32_for_2000_steps(row):
    """The same gradients, exact in both: a drift with noise. Parameters are kept in float32 beside.

    What is compared is the mean update of the last 100 steps, within 5 %: schedule-free steps depend on the
    parameters, which are rounded. A second moment that is kept in bfloat16 is wrong by a factor of two.
    """
    if not row.partial:
        pytest.skip("its steps follow the loss, not the gradients of a list")
    noise = np.random.default_rng(0).normal(size=(2000, 3, 3)) * 0.25 + np.linspace(-2, 2, 9).reshape(3, 3)
    grads = jnp.asarray(noise, jnp.bfloat16)
    rate = row.optimizer.space["learning_rate"][0]  # so low that the parameters stay where they are

    def last_updates(dtype, hparams):
        tx = row.optimizer(hparams)

        def body(carry, grad):
            params, state = carry
            cast = {"w": params["w"].astype(dtype)}
            updates, state = update(tx, {"w": grad.astype(dtype)}, state, cast)
            moved = updates["w"].astype(jnp.float32)
            return ({"w": params["w"] + moved}, state), moved

        start = {"w": jnp.full((3, 3), 2.0)}
        carry = start, tx.init({"w": start["w"].astype(dtype)})
        return jax.lax.scan(body, carry, grads)[1][-100:].mean(axis=0)

    given = {
        name: valid.default for name, valid in row.optimizer.hparams.items() if valid.default is not None
    }
    traced = {name: jnp.float32(value) for name, value in given.items()} | {
        "learning_rate": jnp.float32(rate)
    }
    narrow, wide = jax.jit(lambda h: [last_updates(d, h) for d in (jnp.bfloat16, jnp.float32)])(traced)
    np.testing.assert_allclose(narrow, wide, atol=0.05 * np.abs(wide).max())


def test_complex_parameters_are_handled_or_refused(row):
    """Turning all gradients by a phase turns all updates by it; a plain loop on the real axis is met."""
    tx = row.optimizer({})
    turn = np.exp(0.7j)
    real = {"w": jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)}

    def updates_of(turn):
        leaves = real["w"] if turn is None else jnp.complex64(turn) * real["w"]
        params = {"w": leaves[0]}
        state, seen = tx.init(params), []
        for grad in leaves:
            moved, state = update(tx, {"w": grad}, state, params)
            seen.append(moved["w"])
        return jnp.stack(seen)

    if row.real_only:
        with pytest.raises(ValueError, match="must be real, w is complex64; optax.contrib.split_real"):
            updates_of(turn)
        return
    turned, plain = jax.jit(lambda: (updates_of(turn), updates_of(None)))()
    assert turned.dtype == jnp.complex64
    rounding = (
        4 * np.finfo(np.float32).eps * np.abs(real["w"]).max()
    )  # an update may be a difference of weights
    np.testing.assert_allclose(turned, turn * plain, atol=1e-5 * np.abs(plain).max() + rounding)


def test_accumulated_gradients_are_those_of_one_large_batch(row):
    """Four micro-batches under `optax.MultiSteps`, twice, against their means."""
    if not row.partial:
        pytest.skip("its step follows the loss of one batch")
    tx = row.optimizer({})
    micro = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 3, 3)), jnp.float32)
    params = {"w": params_of(0)["w"]}

    @jax.jit
    def both():
        split, whole = optax.MultiSteps(tx, 4), tx
        state, large, now, then = split.init(params), whole.init(params), params, params
        for batch in micro:
            for grad in batch:
                updates, state = split.update({"w": grad}, state, now)
                now = optax.apply_updates(now, updates)
            updates, large = whole.update({"w": batch.mean(axis=0)}, large, then)
            then = optax.apply_updates(then, updates)
        return now["w"], then["w"]

    now, then = both()
    np.testing.assert_allclose(now, then, rtol=1e-4)


def test_rows_and_factories_can_be_pickled_and_copied(row):
    factory = getattr(optim, row.optimizer.name)
    for again in (
        pickle.loads(pickle.dumps(row.optimizer)),
        copy.copy(row.optimizer),
        copy.deepcopy(row.optimizer),
    ):
        assert again == row.optimizer and isinstance(again, optim.Optimizer)
        assert jax.tree.structure(again({}).init(params_of(0))) == jax.tree.structure(
            row.optimizer({}).init(params_of(0))
        )
    assert pickle.loads(pickle.dumps(factory)) is factory is copy.deepcopy(factory)
