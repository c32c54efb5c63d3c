"""Shampoo, SOAP and Muon against their definitions, line by line in NumPy and float64."""

from __future__ import annotations

import numpy as np
import optax
import pytest
from steps import RATE, agree, moments, root, run

import optim
from optim.newton_schulz import JORDAN, POLAR_EXPRESS


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


ORACLES = {
    "shampoo": (optax.chain(optim.scale_by_shampoo(eps=1e-2), optim.sgd(RATE)), shampoo_paper),
    "shampoo averaged": (
        optim.shampoo(RATE, b1=0.0, b2=0.9, eps=1e-3, relative_eps=True, interval=3, graft="adagrad"),
        shampoo_averaged,
    ),
    "soap": (optim.soap(RATE, interval=4), soap),
}
POLAR = {"coefficients": "polar_express", "num_steps": 9}
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
