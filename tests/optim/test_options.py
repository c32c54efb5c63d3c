"""What users of other libraries ask of these methods, line by line in NumPy and float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from steps import RATE, agree, moments, run

import optim
from optim.newton_schulz import JORDAN


def amsgrad(t, w, g, m):
    first, _ = moments(t, g, m)
    m["max"] = np.maximum(m.get("max", 0), m["v"])
    return w - RATE * first / (np.sqrt(m["max"] / (1 - 0.999**t)) + 1e-8)


def amsgrad_decayed(t, w, g, m):
    return amsgrad(t, w, g, m) - RATE * 0.1 * w


def nadam_warmed(t, w, g, m):
    moments(t, g, m)
    now, after = (0.9 * (1 - 0.5 * 0.96 ** (s * 0.004)) for s in (t, t + 1))
    m["product"] = m.get("product", 1) * now
    numerator = after * m["m"] / (1 - m["product"] * after) + (1 - now) * g / (1 - m["product"])
    return w - RATE * numerator / (np.sqrt(m["v"] / (1 - 0.999**t)) + 1e-8)


def rmsprop_from_one(t, w, g, m):
    m["v"] = 0.9 * m.get("v", 1) + 0.1 * g**2
    return w - RATE * g / np.sqrt(m["v"] + 1e-8)


def larc(t, w, g, m):
    decayed = g + 0.1 * w
    ratio = 0.5 * np.linalg.norm(w) / (np.linalg.norm(g) + 0.1 * np.linalg.norm(w))
    m["v"] = 0.9 * m.get("v", 0) + RATE * min(ratio / RATE, 1) * decayed
    return w - m["v"]


def soap_rests(t, w, g, m):
    """No decay in the first step; a vector, which is Adam from the second on."""
    if t == 1:
        return w
    first, second = moments(t - 1, g, m, 0.95, 0.95)
    return w - RATE * (first / (np.sqrt(second) + 1e-8) + 0.1 * w)


PLAIN = {
    "amsgrad": (optim.adam(RATE, amsgrad=True), amsgrad, (5, 5)),
    "amsgrad adamw": (
        optim.adamw(RATE, weight_decay=0.1, decay="rate", amsgrad=True),
        amsgrad_decayed,
        (5, 5),
    ),
    "nadam": (optim.nadam(RATE, momentum_decay=0.004), nadam_warmed, (5, 5)),
    "rmsprop": (optim.rmsprop(RATE, initial=1.0), rmsprop_from_one, (5, 5)),
    "larc": (optim.lars(RATE, trust_coefficient=0.5, weight_decay=0.1, clip=True), larc, (5, 5)),
    "soap": (optim.soap(RATE, weight_decay=0.1), soap_rests, (4,)),
}


@pytest.mark.parametrize("name", PLAIN)
def test_twenty_steps_by_hand(name):
    agree(*PLAIN[name])


def test_larc_follows_a_schedule():
    """One that stays at the rate is the rate; a ratio above it is clipped, one below is not."""
    agree(optim.lars(lambda count: RATE, trust_coefficient=0.5, weight_decay=0.1, clip=True), larc)
    w = {"w": jnp.full((2, 2), 2.0)}
    for coefficient, rate in ((0.5, RATE), (0.05, 0.05)):
        tx = optim.lars(RATE, trust_coefficient=coefficient, clip=True)
        np.testing.assert_allclose(tx.update(w, tx.init(w), w)[0]["w"], -rate * w["w"], rtol=1e-6)


def test_a_table_of_coefficients():
    """Jordan's as a table is Jordan's; the last row repeats."""
    table = (JORDAN[0], (1.875, -1.25, 0.375))
    np.testing.assert_array_equal(
        run(optim.muon(RATE, coefficients=JORDAN), (3, 6)), run(optim.muon(RATE), (3, 6))
    )
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6)), jnp.float32)
    np.testing.assert_array_equal(
        optim.orthogonalize(matrix, table, 4), optim.orthogonalize(matrix, (*table, *table[1:] * 2), 4)
    )
    for bad in ((1.0, 2.0, 3.0), (), [[1.0, 2.0]], "jordam", ((1.0, float("nan"), 0.0),)):
        with pytest.raises(ValueError, match="muon: (unknown coefficients|coefficients must be)"):
            optim.muon(RATE, coefficients=bad)


def test_complex_matrices_are_made_unitary():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3, 5)) + 1j * rng.normal(size=(3, 5))
    u, _, vh = np.linalg.svd(matrix, full_matrices=False)
    for x, expected in ((matrix, u @ vh), (matrix.T, (u @ vh).T)):
        found = optim.orthogonalize(jnp.asarray(x, jnp.complex64), "polar_express", 10)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_attention_is_one_matrix_for_each_projection():
    """A query (8, 2, 4) is (8, 8) with orthogonal rows, `out` (2, 4, 8) too; by heads they would not be."""
    grads = {
        name: {"kernel": jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)}
        for name, shape in {"query": (8, 2, 4), "out": (2, 4, 8)}.items()
    }
    tx = optim.scale_by_muon(coefficients="polar_express", num_steps=12)
    for name, update in tx.update(grads, tx.init(grads))[0].items():
        matrix = update["kernel"].reshape(8, 8)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(8), atol=1e-3, err_msg=name)


MU = {
    "adam": "mu",
    "adamw": "mu",
    "nadam": "mu",
    "lion": "mu",
    "lamb": "mu",
    "muon": "momentum",
    "soap": "mu",
    "shampoo": "ema",
}
ACCUMULATOR = ("momentum", "nesterov", "lars", "sam")


@pytest.mark.parametrize("name", [*MU, *ACCUMULATOR, "rmsprop"])
@pytest.mark.parametrize("dtype", ["bfloat16", jnp.bfloat16, np.dtype("float32")])
def test_first_moments_in_a_type_of_choice(name, dtype):
    """The others, and the updates, stay in float32; stable under a step."""
    option = {"mu_dtype": dtype} if name in MU else {"accumulator_dtype": dtype}
    own = {"momentum": 0.9} if name == "rmsprop" else {}
    tx = getattr(optim, name)(0.1, **option, **own)
    params = {"w": jnp.ones((3, 3))}

    def once(params):
        state = tx.init(params)
        updates, after = tx.update(params, state, params, grad_fn=lambda p: p)
        return state, updates, after

    state, updates, after = jax.eval_shape(once, params)
    assert state == after and updates["w"].dtype == jnp.float32
    chosen = optax.tree.get_all_with_path(state, MU.get(name, "trace"))
    kept = jax.tree.leaves([value for _, value in chosen])
    assert kept and all(leaf.dtype == jnp.dtype(dtype) for leaf in kept if leaf.ndim)
    others = [leaf.dtype for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert others.count(jnp.dtype("bfloat16")) <= len(kept)


def test_static_arguments_under_inject_hyperparams_name_the_way_out():
    params = {"w": jnp.ones((2, 2))}
    for factory, given in (
        (optim.shampoo, {"interval": 5}),
        (optim.soap, {"block_size": 64}),
        (optim.lbfgs, {"memory_size": 3}),
        (optim.adam, {"mu_dtype": jnp.float32}),
        (optim.lars, {"mask": optim.matrices}),
    ):
        name = next(iter(given))
        with pytest.raises(ValueError, match=f"{factory.__name__}: {name} must be .* static_args"):
            optax.inject_hyperparams(factory)(0.1, **given).init(params)
        optax.inject_hyperparams(factory, static_args=name)(0.1, **given).init(params)


def test_schedules_of_other_hyperparameters_name_the_way_out():
    with pytest.raises(ValueError, match=r"adam: b1 must be in \[0, 1\), got a function; optax.inject_hyper"):
        optim.adam(0.1, b1=lambda count: 0.9)


def test_what_calls_the_loss_refuses_a_part_of_the_tree():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    given = dict(value=1.0, grad=params, value_fn=lambda p: 1.0, grad_fn=lambda p: p)
    for name in ("sam", "lbfgs"):
        tx = optax.masked(getattr(optim, name)(0.1), {"a": True, "b": False})
        with pytest.raises(
            ValueError, match="sees a part of the parameters.* optax.masked or optax.partition"
        ):
            tx.update(params, tx.init(params), params, **given)


@pytest.mark.parametrize("mask", ["all", None])
def test_lars_and_lamb_of_all_leaves(mask):
    w = {"b": jnp.full(4, 2.0)}
    lars = optim.lars(0.5, trust_coefficient=0.1, mask=mask)
    np.testing.assert_allclose(lars.update(w, lars.init(w), w)[0]["b"], -0.1)
    lamb = optim.lamb(0.5, mask=mask)
    np.testing.assert_allclose(lamb.update(w, lamb.init(w), w)[0]["b"], -1.0, rtol=1e-6)
