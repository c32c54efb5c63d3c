"""The dear branch of Shampoo and SOAP: a real branch under vmap, which neither hangs nor spreads NaN."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optim

PARAMS = {"a": jnp.ones((3, 3)), "k": jnp.ones((2, 2, 2, 5)), "w": jnp.ones((4, 6))}
FACTORIES = (optim.shampoo, optim.soap)


def lanes_step(factory, rates, grads):
    """One step from the start in every lane, with the state as the engine keeps it: counters unbatched."""
    axes = jax.tree.map(lambda leaf: None if leaf.ndim == 0 else 0, jax.eval_shape(factory(0.1).init, PARAMS))
    state = jax.tree.map(
        lambda leaf: leaf if leaf.ndim == 0 else jnp.broadcast_to(leaf[None], (len(rates), *leaf.shape)),
        factory(0.1).init(PARAMS),
    )

    def lane(rate, grads, state):
        return factory(rate).update(grads, state, PARAMS)

    return jax.vmap(lane, in_axes=(0, 0, axes), out_axes=(0, axes))(rates, grads, state)


def gradients(lanes: int):
    rng = np.random.default_rng(0)
    draws = {name: rng.normal(size=(lanes, *leaf.shape)) for name, leaf in PARAMS.items()}
    return {name: jnp.asarray(draw, jnp.float32) for name, draw in draws.items()}


@pytest.mark.parametrize("factory", FACTORIES)
def test_refresh_stays_a_branch_in_lanes(factory):
    """With batched counters `cond` would be gone, and every step would pay for LAPACK."""
    rates = jnp.array([0.1, 0.2])
    program = jax.jit(lambda r, g: lanes_step(factory, r, g)).lower(rates, gradients(2)).as_text()
    assert "stablehlo.case" in program


@pytest.mark.parametrize("factory", FACTORIES)
def test_all_matrices_share_one_lapack_call(factory):
    program = jax.jit(lambda r, g: lanes_step(factory, r, g)).lower(jnp.ones(2), gradients(2)).as_text()
    calls = [line for line in program.splitlines() if "custom_call" in line and "lapack" in line]
    names = [line.split("@")[1].split("(")[0] for line in calls]
    assert names and len(set(names)) == len(names)  # SOAP: eigh in one branch, QR in another


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_nan_lane_leaves_the_others_alone(factory):
    clean = gradients(3)
    poisoned = {name: leaf.at[1].set(jnp.nan) for name, leaf in clean.items()}
    step = jax.jit(lambda g: lanes_step(factory, jnp.full(3, 0.1), g))
    (good, _), (bad, state) = step(clean), step(poisoned)
    for name in PARAMS:
        np.testing.assert_array_equal(good[name][::2], bad[name][::2])
    bases = optax.tree.get(state, "roots" if factory is optim.shampoo else "bases")
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(bases))  # the last finite ones are kept


HANGS = """
import jax, jax.numpy as jnp
import optim
params = {str(d): jnp.ones((d, 2 * d)) for d in (8, 12, 20, 32)}

def trial(rate):
    tx = optim.FACTORY(rate, interval=3)
    def body(carry, _):
        params, state = carry
        grads = jax.tree.map(jnp.sin, params)
        updates, state = tx.update(grads, state, params)
        return (jax.tree.map(jnp.add, params, updates), state), None
    return jax.lax.scan(body, (params, tx.init(params)), length=9)[0][0]

out = jax.jit(jax.vmap(trial))(jnp.full(16, 1e-3))
assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(out))
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("factory", FACTORIES)
def test_sixteen_lanes_do_not_deadlock_without_the_flag(factory, monkeypatch):
    """jaxlib 0.10 hangs on several batched LAPACK calls in one program: one for each matrix here would be."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    code = HANGS.replace("FACTORY", factory.__name__)
    root = Path(optim.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, cwd=root)
    assert done.stdout.strip() == "done", done.stderr[-500:]
