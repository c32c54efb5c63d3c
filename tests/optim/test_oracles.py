"""Each method against its definition, line by line in NumPy and float64, and against Optax and PyTorch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optim
from optim.muon import JORDAN, POLAR_EXPRESS

STEPS = 20
RATE = 0.1


def gradients(shape=(5, 5)):
    """Twenty gradients and a start, normal and of full rank."""
    draws = np.random.default_rng(3).normal(size=(STEPS + 1, *shape))
    return draws[0], draws[1:]


def run(tx, shape=(5, 5)):
    """The parameters after every one of the steps, in float64."""
    start, grads = gradients(shape)
    with jax.enable_x64(True):

        def body(carry, grad):
            params, state = carry
            updates, state = tx.update({"w": grad}, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params["w"]

        params = {"w": jnp.asarray(start)}
        path = jax.jit(lambda p, g: jax.lax.scan(body, (p, tx.init(p)), g)[1])
        return np.asarray(path(params, jnp.asarray(grads)))


def by_hand(step, shape=(5, 5)):
    """The same for `step(t, w, g, memory) -> w`, t from 1."""
    w, grads = gradients(shape)
    memory, path = {}, []
    for t, g in enumerate(grads, start=1):
        w = step(t, w, g, memory)
        path.append(w)
    return np.stack(path)


def agree(tx, step, shape=(5, 5)):
    np.testing.assert_allclose(run(tx, shape), by_hand(step, shape), rtol=1e-10, atol=1e-10)


def root(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**exponent) @ vectors.T


def moments(t, g, m, b1=0.9, b2=0.999):
    """Adam's bias-corrected moments; `m` is the memory."""
    m["m"] = b1 * m.get("m", 0) + (1 - b1) * g
    m["v"] = b2 * m.get("v", 0) + (1 - b2) * g**2
    return m["m"] / (1 - b1**t), m["v"] / (1 - b2**t)


def sgd(t, w, g, m):
    return w - RATE * g


def momentum(t, w, g, m):
    m["v"] = 0.9 * m.get("v", 0) + g
    return w - RATE * m["v"]


def nesterov(t, w, g, m):
    m["v"] = 0.9 * m.get("v", 0) + g
    return w - RATE * (g + 0.9 * m["v"])


def adagrad(t, w, g, m):
    m["s"] = m.get("s", 0) + g**2
    return w - RATE * g / (np.sqrt(m["s"]) + 1e-8)


def rmsprop(t, w, g, m):
    m["v"] = 0.9 * m.get("v", 0) + 0.1 * g**2
    return w - RATE * g / np.sqrt(m["v"] + 1e-3)


def rmsprop_outside(t, w, g, m):
    m["v"] = 0.9 * m.get("v", 0) + 0.1 * g**2
    m["w"] = 0.5 * m.get("w", 0) + g / (np.sqrt(m["v"]) + 1e-3)
    return w - RATE * m["w"]


def rmsprop_centered(t, w, g, m):
    m["v"] = 0.9 * m.get("v", 0) + 0.1 * g**2
    m["mean"] = 0.9 * m.get("mean", 0) + 0.1 * g
    return w - RATE * g / np.sqrt(m["v"] - m["mean"] ** 2 + 1e-3)


def adam(t, w, g, m):
    first, second = moments(t, g, m)
    return w - RATE * first / (np.sqrt(second) + 1e-8)


def adamw(t, w, g, m):
    first, second = moments(t, g, m)
    return w - RATE * first / (np.sqrt(second) + 1e-8) - 1e-4 * w


def adamw_rate(t, w, g, m):
    first, second = moments(t, g, m)
    return w - RATE * (first / (np.sqrt(second) + 1e-8) + 0.01 * w)


def nadam(t, w, g, m):
    _, second = moments(t, g, m)
    numerator = 0.9 * m["m"] / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
    return w - RATE * numerator / (np.sqrt(second) + 1e-8)


def lion(t, w, g, m):
    old = m.get("m", 0 * g)
    m["m"] = 0.99 * old + 0.01 * g
    return w - RATE * (np.sign(0.9 * old + 0.1 * g) + 0.1 * w)


def lars(t, w, g, m):
    ratio = 0.02 * np.linalg.norm(w) / (np.linalg.norm(g) + 0.1 * np.linalg.norm(w))
    m["v"] = 0.9 * m.get("v", 0) + RATE * ratio * (g + 0.1 * w)
    return w - m["v"]


def lars_sum(t, w, g, m):
    ratio = 0.02 * np.linalg.norm(w) / np.linalg.norm(g + 0.1 * w)
    m["v"] = 0.9 * m.get("v", 0) + RATE * ratio * (g + 0.1 * w)
    return w - m["v"]


def lamb(t, w, g, m):
    first, second = moments(t, g, m)
    u = first / (np.sqrt(second) + 1e-6) + 0.1 * w
    return w - RATE * np.linalg.norm(w) * u / np.linalg.norm(u)


def lamb_bounded(t, w, g, m):
    first, second = moments(t, g, m)
    u = first / (np.sqrt(second) + 1e-6)
    return w - RATE * min(np.linalg.norm(w), 2.0) * u / np.linalg.norm(u)


def schedule_free_sgd(t, w, g, m):
    z, x = m.get("z", w), m.get("x", w)
    m["z"] = z - RATE * (g + 0.1 * w)
    m["x"] = (1 - 1 / t) * x + m["z"] / t
    return 0.1 * m["z"] + 0.9 * m["x"]


def schedule_free_adamw(t, w, g, m):
    z, x = m.get("z", w), m.get("x", w)
    m["v"] = 0.999 * m.get("v", 0) + 0.001 * g**2
    m["z"] = z - RATE * (g / (np.sqrt(m["v"] / (1 - 0.999**t)) + 1e-8) + 0.1 * w)
    m["x"] = (1 - 1 / t) * x + m["z"] / t
    return 0.1 * m["z"] + 0.9 * m["x"]


def shampoo_paper(t, w, g, m):
    m["l"] = m.get("l", 1e-2 * np.eye(len(g))) + g @ g.T
    m["r"] = m.get("r", 1e-2 * np.eye(g.shape[1])) + g.T @ g
    return w - RATE * root(m["l"], -1 / 4) @ g @ root(m["r"], -1 / 4)


def shampoo_averaged(t, w, g, m):
    """Averages, relative ridge, roots from every third step, AdaGrad's norm."""
    m["l"] = 0.9 * m.get("l", 0) + 0.1 * g @ g.T
    m["r"] = 0.9 * m.get("r", 0) + 0.1 * g.T @ g
    if t % 3 == 1:
        for name in "lr":
            average = m[name] / (1 - 0.9**t)
            ridge = 1e-3 * np.linalg.eigvalsh(average).max() * np.eye(len(average))
            m["root_" + name] = root(average + ridge, -1 / 4)
    m["s"] = m.get("s", 0) + g**2
    target = g / (np.sqrt(m["s"]) + 1e-8)
    u = m["root_l"] @ g @ m["root_r"]
    return w - RATE * u * np.linalg.norm(target) / np.linalg.norm(u)


def shampoo_order_three(t, w, g, m):
    u = g
    for axis in range(3):
        rows = np.moveaxis(g, axis, 0).reshape(g.shape[axis], -1)
        m[axis] = m.get(axis, 1e-2 * np.eye(len(rows))) + rows @ rows.T
        u = np.moveaxis(np.tensordot(root(m[axis], -1 / 6), u, axes=(1, axis)), 0, axis)
    return w - RATE * u


def soap(t, w, g, m):
    """The authors' order: project, Adam, project back, then statistics into new bases."""
    if t == 1:
        m.update(l=0.05 * g @ g.T, r=0.05 * g.T @ g, m=0 * g, v=0 * g)
        m["ql"], m["qr"] = (np.linalg.eigh(m[s])[1][:, ::-1] for s in "lr")
        return w
    m["l"], m["r"] = 0.95 * m["l"] + 0.05 * g @ g.T, 0.95 * m["r"] + 0.05 * g.T @ g
    ql, qr = m["ql"], m["qr"]
    m["m"] = 0.95 * m["m"] + 0.05 * g
    m["v"] = 0.95 * m["v"] + 0.05 * (ql.T @ g @ qr) ** 2
    correction = 1 - 0.95 ** (t - 1)
    step = ql.T @ m["m"] @ qr / correction / (np.sqrt(m["v"] / correction) + 1e-8)
    if (t - 1) % 4 == 0:
        left = np.argsort(-np.diag(ql.T @ m["l"] @ ql))
        right = np.argsort(-np.diag(qr.T @ m["r"] @ qr))
        m["v"] = m["v"][left][:, right]
        m["ql"] = np.linalg.qr(m["l"] @ ql[:, left])[0]
        m["qr"] = np.linalg.qr(m["r"] @ qr[:, right])[0]
    return w - RATE * (ql @ step @ qr.T)


def orthogonal(x, table):
    for a, b, c in table:
        gram = x @ x.T
        x = a * x + b * gram @ x + c * gram @ gram @ x
    return x


def muon(t, w, g, m):
    """In the authors' form: momentum as a sum, matrices as (out, in)."""
    m["v"] = 0.95 * m.get("v", 0) + g.T
    u = 0.95 * m["v"] + g.T
    u = orthogonal(u / np.linalg.norm(u), JORDAN * 5)
    return w - RATE * max(1, u.shape[0] / u.shape[1]) ** 0.5 * u.T


def muon_polar(t, w, g, m):
    m["v"] = 0.95 * m.get("v", 0) + 0.05 * g
    safe = [(a / 1.01, b / 1.01**3, c / 1.01**5) for a, b, c in POLAR_EXPRESS[:7]] + [POLAR_EXPRESS[7]] * 2
    u = orthogonal(m["v"] / (1.01 * np.linalg.norm(m["v"])), safe)
    return w - RATE * (0.2 * max(u.shape) ** 0.5 * u + 0.1 * w)


POLAR = {"coefficients": "polar_express", "num_steps": 9}
ORACLES = {
    "sgd": (optim.sgd(RATE), sgd),
    "momentum": (optim.momentum(RATE), momentum),
    "nesterov": (optim.nesterov(RATE), nesterov),
    "adagrad": (optim.adagrad(RATE), adagrad),
    "rmsprop": (optim.rmsprop(RATE, eps=1e-3), rmsprop),
    "rmsprop outside": (optim.rmsprop(RATE, momentum=0.5, eps=1e-3, eps_in_sqrt=False), rmsprop_outside),
    "rmsprop centered": (optim.rmsprop(RATE, eps=1e-3, centered=True), rmsprop_centered),
    "adam": (optim.adam(RATE), adam),
    "adamw": (optim.adamw(RATE), adamw),
    "adamw rate": (optim.adamw(RATE, weight_decay=1e-2, decay="rate"), adamw_rate),
    "nadam": (optim.nadam(RATE), nadam),
    "lion": (optim.lion(RATE, weight_decay=0.1), lion),
    "lars": (optim.lars(RATE, trust_coefficient=0.02, weight_decay=0.1), lars),
    "lars sum": (optim.lars(RATE, trust_coefficient=0.02, weight_decay=0.1, denominator="sum"), lars_sum),
    "lamb": (optim.lamb(RATE, weight_decay=0.1), lamb),
    "lamb bounded": (optim.lamb(RATE, max_norm=2.0), lamb_bounded),
    "schedule_free_sgd": (optim.schedule_free_sgd(RATE, weight_decay=0.1), schedule_free_sgd),
    "schedule_free_adamw": (optim.schedule_free_adamw(RATE, weight_decay=0.1), schedule_free_adamw),
    "shampoo": (optax.chain(optim.scale_by_shampoo(eps=1e-2), optim.sgd(RATE)), shampoo_paper),
    "shampoo averaged": (
        optim.shampoo(RATE, b1=0.0, b2=0.9, eps=1e-3, relative_eps=True, interval=3, graft="adagrad"),
        shampoo_averaged,
    ),
    "soap": (optim.soap(RATE, interval=4), soap),
}
WIDE = {
    "muon": (optim.muon(RATE), muon),
    "muon polar": (optim.muon(RATE, weight_decay=0.1, nesterov=False, scale="moonshot", **POLAR), muon_polar),
}


@pytest.mark.parametrize("name", ORACLES)
def test_twenty_steps_by_hand(name):
    agree(*ORACLES[name])


@pytest.mark.parametrize("name", WIDE)
def test_twenty_steps_of_a_wide_matrix_by_hand(name):
    agree(*WIDE[name], shape=(3, 6))


def test_shampoo_of_a_tensor_has_a_factor_per_dimension():
    tx = optax.chain(optim.scale_by_shampoo(eps=1e-2, matricize=False), optim.sgd(RATE))
    agree(tx, shampoo_order_three, shape=(2, 3, 4))


def test_shampoo_blocks_are_matrices_of_their_own():
    """A 4 x 6 matrix cut into six 2 x 2 blocks is trained as six matrices are."""

    def blocks(t, w, g, m):
        w = w.copy()
        for i in range(0, 4, 2):
            for j in range(0, 6, 2):
                at = np.s_[i : i + 2, j : j + 2]
                w[at] = shampoo_paper(t, w[at], g[at], m.setdefault((i, j), {}))
        return w

    agree(optax.chain(optim.scale_by_shampoo(eps=1e-2, block_size=2), optim.sgd(RATE)), blocks, shape=(4, 6))


def kernel_as_matrix(make):
    """A kernel (H, W, I, O) is trained as the matrix (H W I, O) is."""
    as_kernel, as_matrix = run(make(), (2, 2, 3, 5)), run(make(), (12, 5))
    np.testing.assert_allclose(as_kernel.reshape(as_matrix.shape), as_matrix, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["shampoo", "soap", "muon"])
def test_kernels_are_matrices(name):
    kernel_as_matrix(lambda: getattr(optim, name)(RATE))


def test_vectors_of_shampoo_are_full_matrix_adagrad():
    def full_matrix(t, w, g, m):
        m["s"] = m.get("s", 1e-2 * np.eye(4)) + np.outer(g, g)
        return w - RATE * root(m["s"], -1 / 2) @ g

    agree(optax.chain(optim.scale_by_shampoo(eps=1e-2), optim.sgd(RATE)), full_matrix, shape=(4,))


def test_vectors_of_soap_are_adam_after_the_first_step():
    def adam_later(t, w, g, m):
        if t == 1:
            return w
        first, second = moments(t - 1, g, m, 0.95, 0.95)
        return w - RATE * first / (np.sqrt(second) + 1e-8)

    agree(optim.soap(RATE), adam_later, shape=(4,))


def test_excluded_leaves_of_muon_are_adamw_at_its_ratio():
    def slower(t, w, g, m):
        first, second = moments(t, g, m, 0.9, 0.95)
        return w - 0.1 * RATE * first / (np.sqrt(second) + 1e-8)

    agree(optim.muon(RATE), slower, shape=(4,))
    agree(optim.muon(RATE, hidden=lambda path, leaf: path != "w"), slower)


def test_excluded_leaves_of_lars_and_lamb_are_not_scaled():
    agree(optim.lars(RATE, weight_decay=0.1), momentum, shape=(4,))

    def plain_adam(t, w, g, m):
        first, second = moments(t, g, m)
        return w - RATE * first / (np.sqrt(second) + 1e-6)

    agree(optim.lamb(RATE, weight_decay=0.1), plain_adam, shape=(4,))


OPTAX = {
    "sgd": (optim.sgd(RATE), optax.sgd(RATE)),
    "momentum": (optim.momentum(RATE), optax.sgd(RATE, momentum=0.9)),
    "nesterov": (optim.nesterov(RATE), optax.sgd(RATE, momentum=0.9, nesterov=True)),
    "adagrad": (optim.adagrad(RATE, eps=1e-7, initial=0.1), optax.adagrad(RATE, eps=0.0)),
    "rmsprop": (optim.rmsprop(RATE, momentum=0.5), optax.rmsprop(RATE, momentum=0.5)),
    "adam": (optim.adam(RATE), optax.adam(RATE)),
    "adamw": (optim.adamw(RATE, weight_decay=1e-2, decay="rate"), optax.adamw(RATE, weight_decay=1e-2)),
    "nadam": (optim.nadam(RATE), optax.nadam(RATE)),
    "lion": (optim.lion(RATE), optax.lion(RATE, weight_decay=0.0)),
    "lamb": (optim.lamb(RATE, weight_decay=0.1), optax.lamb(RATE, weight_decay=0.1)),
    "schedule_free_sgd": (optim.schedule_free_sgd(RATE), optax.contrib.schedule_free_sgd(RATE)),
    "schedule_free_adamw": (optim.schedule_free_adamw(RATE), optax.contrib.schedule_free_adamw(RATE)),
}


@pytest.mark.parametrize("name", OPTAX)
def test_optax_agrees(name):
    ours, theirs = OPTAX[name]
    # AdaGrad: Optax has its eps inside the root and at 0 none at all; ours is outside and never 0.
    tolerance = 1e-6 if name == "adagrad" else 1e-10
    np.testing.assert_allclose(run(ours), run(theirs), rtol=tolerance, atol=tolerance)


def torch_optimizers(torch):
    o = torch.optim
    return {
        "sgd": (optim.sgd(RATE), lambda p: o.SGD(p, lr=RATE)),
        "momentum": (optim.momentum(RATE), lambda p: o.SGD(p, lr=RATE, momentum=0.9)),
        "nesterov": (optim.nesterov(RATE), lambda p: o.SGD(p, lr=RATE, momentum=0.9, nesterov=True)),
        "adagrad": (optim.adagrad(RATE), lambda p: o.Adagrad(p, lr=RATE, eps=1e-8)),
        "rmsprop": (optim.rmsprop(RATE, eps_in_sqrt=False), lambda p: o.RMSprop(p, lr=RATE, alpha=0.9)),
        "adam": (optim.adam(RATE), lambda p: o.Adam(p, lr=RATE)),
        "adamw": (
            optim.adamw(RATE, weight_decay=1e-2, decay="rate"),
            lambda p: o.AdamW(p, lr=RATE, weight_decay=1e-2),
        ),
    }


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"])
def test_torch_agrees(name):
    torch = pytest.importorskip("torch")
    ours, make = torch_optimizers(torch)[name]
    start, grads = gradients()
    w = torch.tensor(start, requires_grad=True)
    theirs, path = make([w]), []
    for grad in grads:
        w.grad = torch.tensor(grad)
        theirs.step()
        path.append(w.detach().numpy().copy())
    np.testing.assert_allclose(run(ours), np.stack(path), rtol=1e-10, atol=1e-10)
