"""Grafts, start, phase, averages and merged dimensions of Shampoo, line by line in NumPy and float64."""

from __future__ import annotations

import numpy as np
import optax
import pytest
from steps import RATE, agree, root, run

import optim


def graft_rmsprop(t, g, m):
    m["v"] = 0.999 * m.get("v", 0) + 0.001 * g**2
    return g / (np.sqrt(m["v"] / (1 - 0.999**t)) + 1e-8)


def graft_rmsprop_normalized(t, g, m):
    return graft_rmsprop(t, g / np.linalg.norm(g), m)


def graft_adagrad_normalized(t, g, m):
    unit = g / np.linalg.norm(g)
    m["v"] = m.get("v", 0) + unit**2
    return unit / (np.sqrt(m["v"]) + 1e-8)


GRAFTS = {
    "sqrt_n": lambda t, g, m: np.sign(g),
    "rmsprop": graft_rmsprop,
    "rmsprop_normalized": graft_rmsprop_normalized,
    "adagrad_normalized": graft_adagrad_normalized,
}


def sums(g, m):
    m["l"] = m.get("l", 1e-2 * np.eye(len(g))) + g @ g.T
    m["r"] = m.get("r", 1e-2 * np.eye(g.shape[1])) + g.T @ g


def grafted(u, target):
    return u * np.linalg.norm(target) / np.linalg.norm(u)


@pytest.mark.parametrize("name", GRAFTS)
def test_grafts(name):
    def step(t, w, g, m):
        sums(g, m)
        u = root(m["l"], -1 / 4) @ g @ root(m["r"], -1 / 4)
        return w - RATE * grafted(u, GRAFTS[name](t, g, m))

    agree(optim.shampoo(RATE, b1=0.0, eps=1e-2, interval=1, graft=name), step)


def test_shampoo_starts_late_and_refreshes_in_its_phase():
    """Roots of steps 4 (the start), 6, 9, 12, ...: before the start RMSProp alone."""

    def step(t, w, g, m):
        sums(g, m)
        target = graft_rmsprop(t, g, m)
        if t == 4 or (t > 4 and t % 3 == 0):
            m["roots"] = root(m["l"], -1 / 4), root(m["r"], -1 / 4)
        if t < 4:
            return w - RATE * target
        return w - RATE * grafted(m["roots"][0] @ g @ m["roots"][1], target)

    agree(optim.shampoo(RATE, b1=0.0, eps=1e-2, interval=3, phase=2, start=4), step)


def test_shampoo_preconditions_an_average():
    """Shi et al. (2023): statistics and the graft's moments of the gradient, both applied to its average."""

    def step(t, w, g, m):
        sums(g, m)
        graft_rmsprop(t, g, m)
        m["m"] = 0.9 * m.get("m", 0) + 0.1 * g
        average = m["m"] / (1 - 0.9**t)
        target = average / (np.sqrt(m["v"] / (1 - 0.999**t)) + 1e-8)
        u = root(m["l"], -1 / 4) @ average @ root(m["r"], -1 / 4)
        return w - RATE * grafted(u, target)

    agree(optim.shampoo(RATE, eps=1e-2, interval=1, average="before"), step)


def test_small_dimensions_are_merged():
    """A 2 x 3 matrix is one vector of 6: full-matrix AdaGrad; a kernel (2, 2, 4) with at most 4 is (4, 4)."""

    def full_matrix(t, w, g, m):
        m["s"] = m.get("s", 1e-2 * np.eye(6)) + np.outer(g, g)
        return w - RATE * (root(m["s"], -1 / 2) @ g.ravel()).reshape(2, 3)

    agree(optax.chain(optim.scale_by_shampoo(eps=1e-2, merge_dims=6), optim.sgd(RATE)), full_matrix, (2, 3))
    merged = optax.chain(optim.scale_by_shampoo(eps=1e-2, merge_dims=4), optim.sgd(RATE))
    plain = optax.chain(optim.scale_by_shampoo(eps=1e-2), optim.sgd(RATE))
    np.testing.assert_allclose(run(merged, (2, 2, 4)).reshape(-1, 4, 4), run(plain, (4, 4)), rtol=1e-9)
