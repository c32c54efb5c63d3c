"""Each method against its formula, written out in NumPy, or against another implementation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import ElasticNet

import reg
from lr_batch import RegularizedOptimizer
from optim import OPTIMIZERS
from reg import REGULARIZERS
from reg.pruning import REFRESH

RATE, STRENGTH = 0.1, 0.3


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def after(name, w, u, **hparams):
    """Where a step leads that starts at `w` and whose optimizer's update is `u`."""
    tx = REGULARIZERS[name]({"learning_rate": RATE, **hparams}).after
    params, updates = {"w": jnp.asarray(w)}, {"w": jnp.asarray(u)}
    moved, _ = jax.jit(tx.update)(updates, tx.init(params), params)
    return np.asarray(params["w"] + moved["w"])


def descend(optimizer, hparams, steps=20):
    """Parameters after some steps on a least-squares problem."""
    x, y = jnp.asarray(normal(0, 30, 4)), jnp.asarray(normal(1, 30))
    regularizer = optimizer.regularizer
    loss_fn = regularizer(optimizer.strengths(hparams)).loss(lambda p, b, k: (x @ p["w"] - y) ** 2, None)
    tx, params = optimizer(hparams), {"w": jnp.ones(4)}

    @jax.jit
    def step(params, state):
        updates, state = tx.update(jax.grad(lambda p: loss_fn(p, None, None).mean())(params), state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return np.asarray(params["w"])


@pytest.mark.parametrize("optimizer, same", [("sgd", True), ("adam", False)])
def test_l2_is_weight_decay_of_twice_the_strength_for_sgd_alone(optimizer, same):
    penalised = RegularizedOptimizer(OPTIMIZERS[optimizer], REGULARIZERS["l2"])
    decayed = RegularizedOptimizer(OPTIMIZERS[optimizer], REGULARIZERS["weight_decay"])
    one = descend(penalised, {"learning_rate": 0.05, "l2": 0.1})
    other = descend(decayed, {"learning_rate": 0.05, "weight_decay": 0.2})
    assert (np.abs(one - other).max() < 1e-13) == same
    if not same:
        assert np.abs(one - other).max() > 1e-2


def test_sgd_step_with_l2_is_the_shrinking_one():
    """theta <- (1 - 2 lr lambda) theta - lr grad L."""
    x, y, w = normal(0, 30, 4), normal(1, 30), np.ones(4)
    grad = 2 * x.T @ (x @ w - y) / 30
    expected = (1 - 2 * 0.05 * 0.1) * w - 0.05 * grad
    optimizer = RegularizedOptimizer(OPTIMIZERS["sgd"], REGULARIZERS["l2"])
    np.testing.assert_allclose(
        descend(optimizer, {"learning_rate": 0.05, "l2": 0.1}, steps=1), expected, rtol=1e-13
    )


def test_l1_gives_exact_zeros():
    w, u = normal(0, 6, 5), 0.1 * normal(1, 6, 5)
    z = w + u
    new = after("l1", w, u, l1=5.0)
    np.testing.assert_allclose(new, np.sign(z) * np.maximum(np.abs(z) - RATE * 5.0, 0), atol=1e-15)
    assert ((new == 0) == (np.abs(z) <= 0.5)).all() and (new == 0).any()


def test_elastic_net_finds_the_solution_of_scikit_learn():
    x, y = normal(2, 50, 6), normal(3, 50) + 3 * normal(2, 50, 6)[:, 0]
    theirs = (
        ElasticNet(alpha=STRENGTH, l1_ratio=0.7, fit_intercept=False, tol=1e-12, max_iter=100_000)
        .fit(x, y)
        .coef_
    )
    tx = REGULARIZERS["elastic_net"]({"learning_rate": RATE, "elastic_net": STRENGTH, "l1_ratio": 0.7}).after

    def step(_, params):
        updates = {"w": -RATE * jnp.asarray(x.T) @ (x @ params["w"] - y) / len(y)}
        return optax.apply_updates(params, tx.update(updates, tx.init(params), params)[0])

    ours = np.asarray(jax.lax.fori_loop(0, 2000, step, {"w": jnp.zeros(6)})["w"])
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    assert ((ours == 0) == (theirs == 0)).all() and (ours == 0).any()


def test_group_lasso_switches_units_off():
    w, u = normal(0, 3, 2, 7), 0.1 * normal(1, 3, 2, 7)
    z, norm = w + u, np.sqrt(((w + u) ** 2).sum(axis=(0, 1)))
    scale = np.maximum(1 - RATE * 9.0 * np.sqrt(6) / norm, 0)
    new = after("group_lasso", w, u, group_lasso=9.0)
    np.testing.assert_allclose(new, scale * z, atol=1e-15)
    assert 0 < (scale == 0).sum() < 7 and (new[..., scale == 0] == 0).all()


def test_max_norm_bounds_every_unit():
    w, u = normal(0, 9, 7), normal(1, 9, 7)
    norm = np.linalg.norm(w + u, axis=0)
    new = after("max_norm", w, u, max_norm=3.5)
    np.testing.assert_allclose(new, (w + u) * np.minimum(1, 3.5 / norm), rtol=1e-13)
    assert (norm < 3.5).any() and (norm > 3.5).any()


def test_balls_are_euclidean_projections():
    z = normal(0, 12)
    np.testing.assert_allclose(after("l2_ball", z, 0 * z, l2_ball=1.0), z / np.linalg.norm(z), rtol=1e-12)
    new = after("l1_ball", z, 0 * z, l1_ball=2.0)
    cut = (np.abs(z) - np.abs(new))[new != 0]  # the projection takes the same from every one that is left
    np.testing.assert_allclose(cut, cut[0], rtol=1e-12)
    assert np.abs(new).sum() == pytest.approx(2.0) and (np.abs(z[new == 0]) <= cut[0]).all()
    np.testing.assert_array_equal(after("l1_ball", z, 0 * z, l1_ball=100.0), z)


def test_spectral_norm_adds_the_gradient_of_half_the_squared_singular_value():
    w = normal(0, 8, 5)
    u, s, vt = np.linalg.svd(w)
    tx = REGULARIZERS["spectral_norm"]({"spectral_norm": STRENGTH}).before
    params, state = {"w": jnp.asarray(w)}, None
    state = tx.init(params)
    for _ in range(300):
        grads, state = tx.update({"w": jnp.zeros((8, 5))}, state, params)
    np.testing.assert_allclose(grads["w"], STRENGTH * s[0] * np.outer(u[:, 0], vt[0]), atol=1e-10)


def test_label_losses():
    logits, y = normal(0, 20, 4), np.random.default_rng(1).integers(0, 4, 20)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right, entropy = p[np.arange(20), y], -(p * np.log(p)).sum(axis=1)
    smooth = (1 - STRENGTH) * np.eye(4)[y] + STRENGTH / 4
    expected = {
        "label_smoothing": -(smooth * np.log(p)).sum(axis=1),
        "confidence_penalty": -np.log(right) - STRENGTH * entropy,
        "focal": -((1 - right) ** STRENGTH) * np.log(right),
    }
    plain = lambda params, batch, key: optax.softmax_cross_entropy_with_integer_labels(params, batch["y"])
    for name, values in expected.items():
        loss = REGULARIZERS[name]({name: STRENGTH}).loss(plain, 4)
        ours = loss(jnp.asarray(logits), {"y": jnp.asarray(y, jnp.int32)}, jax.random.key(0))
        np.testing.assert_allclose(ours, values, rtol=1e-6 if name == "focal" else 1e-12)


def test_focal_has_a_finite_gradient_where_the_class_is_certain():
    plain = lambda params, batch, key: optax.softmax_cross_entropy_with_integer_labels(params, batch["y"])
    loss = REGULARIZERS["focal"]({"focal": 0.5}).loss(plain, 2)
    grad = jax.grad(lambda x: loss(x, {"y": jnp.zeros(1, jnp.int32)}, jax.random.key(0)).sum())
    assert np.isfinite(grad(jnp.array([[500.0, -500.0]]))).all()


def test_mixup_is_the_cross_entropy_of_mixed_labels():
    x, y, w = normal(0, 8, 5), np.arange(8) % 3, normal(1, 5, 3)
    seen = []

    def plain(params, batch, key):
        seen.append(batch["x"])
        return optax.softmax_cross_entropy_with_integer_labels(batch["x"] @ params, batch["y"])

    loss = REGULARIZERS["mixup"]({"mixup": 1.0}).loss(plain, 3)
    batch = {"x": jnp.asarray(x), "y": jnp.asarray(y, jnp.int32)}
    ours = loss(jnp.asarray(w), batch, jax.random.key(3))
    mixed = np.asarray(seen[0])
    share = ((mixed - np.roll(x, 1, axis=0)) / (x - np.roll(x, 1, axis=0))).mean()
    labels = share * np.eye(3)[y] + (1 - share) * np.eye(3)[np.roll(y, 1)]
    assert 0 < share < 1
    np.testing.assert_allclose(
        ours, -(labels * np.asarray(jax.nn.log_softmax(mixed @ w))).sum(axis=1), rtol=1e-9
    )


def walk(name, hparams, steps):
    """Parameters of a random walk and what the regularizer would evaluate after each step."""
    row = REGULARIZERS[name]
    tx = reg.regularized(optax.identity(), row(hparams))
    params = {"w": jnp.asarray(normal(0, 3))}
    state, path, seen = tx.init(params), [], []
    for t in range(steps):
        updates, state = tx.update({"w": jnp.asarray(normal(t + 1, 3))}, state, params)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params["w"]))
        seen.append(np.asarray(row.eval_params(state, params)["w"]))
    return np.array(path), np.array(seen)


def test_ema():
    path, seen = walk("ema", {"ema": 0.7}, 6)
    expected = normal(0, 3)
    for theta, average in zip(path, seen, strict=True):
        expected = 0.7 * expected + 0.3 * theta
        np.testing.assert_allclose(average, expected, rtol=1e-12)


def test_swa():
    path, seen = walk("swa", {"swa_start": 3.0, "swa_every": 2.0}, 8)
    np.testing.assert_array_equal(seen[:2], path[:2])
    np.testing.assert_allclose(seen[3], path[2], rtol=1e-12)  # step 4: only that of step 3 so far
    np.testing.assert_allclose(seen[7], path[[2, 4, 6]].mean(axis=0), rtol=1e-12)


def test_pruning_keeps_the_stated_number_of_weights_on_schedule():
    row, total = REGULARIZERS["pruning"], 3 * REFRESH
    tx = reg.regularized(optax.identity(), row({"sparsity": 0.75, "prune_steps": float(2 * REFRESH)}))
    params = {"kernel": jnp.asarray(normal(0, 10, 20)), "bias": jnp.zeros(20)}
    state, zeros = tx.init(params), []
    update = jax.jit(tx.update)
    for t in range(total):
        updates, state = update(
            {"kernel": 0.01 * jnp.asarray(normal(t, 10, 20)), "bias": jnp.ones(20)}, state, params
        )
        params = optax.apply_updates(params, updates)
        zeros.append(int((params["kernel"] == 0).sum()))
    stated = [
        int(np.floor(200 * 0.75 * (1 - (1 - min(t / (2 * REFRESH), 1)) ** 3)))
        for t in range(0, total, REFRESH)
    ]
    assert zeros[::REFRESH] == stated == [0, 131, 150]
    assert (params["bias"] == total).all()


def test_ridge_meets_scikit_learn():
    from sklearn.linear_model import Ridge

    from reg.ridge import condition_number, ridge

    x, y = normal(0, 12, 20), normal(1, 12)
    theirs = Ridge(alpha=12 * STRENGTH, fit_intercept=False).fit(x, y).coef_
    np.testing.assert_allclose(ridge(jnp.asarray(x), jnp.asarray(y), STRENGTH), theirs, rtol=1e-9)
    normal_matrix = x.T @ x + 12 * STRENGTH * np.eye(20)
    assert condition_number(jnp.asarray(x), STRENGTH) == pytest.approx(np.linalg.cond(normal_matrix))
    assert np.isinf(condition_number(jnp.asarray(x), 0.0))


def test_masks():
    params = {"Dense_0": {"kernel": np.ones((2, 2)), "bias": np.ones(2)}, "norm": {"scale": np.ones(2)}}
    assert reg.weights(params) == {"Dense_0": {"kernel": True, "bias": False}, "norm": {"scale": False}}
    assert reg.weights({"w": np.ones(3), "bias": np.ones(3)}) == {"w": True, "bias": False}
    assert reg.matching("Dense_0/")(params) == {
        "Dense_0": {"kernel": True, "bias": True},
        "norm": {"scale": False},
    }
