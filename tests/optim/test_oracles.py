"""Methods that treat coordinates or whole layers alike against their definitions, line by line in NumPy and float64."""

from __future__ import annotations

import numpy as np
import pytest
from steps import RATE, agree, moments

import optim


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
}


@pytest.mark.parametrize("name", ORACLES)
def test_twenty_steps_by_hand(name):
    agree(*ORACLES[name])


def test_excluded_leaves_of_lars_and_lamb_are_not_scaled():
    agree(optim.lars(RATE, weight_decay=0.1), momentum, shape=(4,))

    def plain_adam(t, w, g, m):
        first, second = moments(t, g, m)
        return w - RATE * first / (np.sqrt(second) + 1e-6)

    agree(optim.lamb(RATE, weight_decay=0.1), plain_adam, shape=(4,))
