"""What the conformance suite tries each strategy on, and the flags of each."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import jax
import numpy as np
import pytest

from hparam import FRESH, SEARCHES, Proposal, Search, State, parse_space

MIXED = parse_space(
    [
        "lr=log(1e-4,1)",
        "momentum=log1m(0.9,0.999)",
        "n=int(1,4)",
        "act=choice(relu,tanh)",
        "slope=linear(0,0.5) when act=relu",
    ]
)
LINE = parse_space(["lr=log(1e-4,1)"])
FINITE = parse_space(["n=int(1,6)", "k=choice(1,2,4,8,16,32,64,128)"])  # 48 cells


class Row(NamedTuple):
    """`options` make the strategy quick; `covers` says that it reaches every cell of a finite space."""

    name: str
    options: dict
    covers: bool = True


ROWS = (
    Row("grid", {}),
    Row("coarse_to_fine", {}),
    Row("random", {}),
    Row("quasi_random", {}),
    Row("bayes", {}),
    Row("successive_halving", {"min_steps": 1, "max_steps": 9}),
    Row("hyperband", {"min_steps": 1, "max_steps": 9}),
    Row("asha", {"min_steps": 1, "max_steps": 9}),
    Row("population", {"size": 8, "interval": 10, "max_steps": 50}),
    Row("optuna", {}),
)


def missing(name: str) -> str:
    """The package that a strategy needs and that is not installed, or ""."""
    package = SEARCHES[name].requires
    return package if package and importlib.util.find_spec(package) is None else ""


def params(rows=ROWS):
    """Rows as pytest parameters, skipped where their package is not installed."""
    skip = {row.name: pytest.mark.skipif(bool(missing(row.name)), reason=missing(row.name)) for row in rows}
    return [pytest.param(row, id=row.name, marks=skip[row.name]) for row in rows]


def loss(proposal: Proposal) -> np.ndarray:
    """Smooth, best at lr = 0.02 or n = 3, falling with steps, diverging above lr = 0.5."""
    settings = proposal.settings
    rate = settings["lr"] if "lr" in settings else 10.0 ** (settings["n"] - 4.7) / settings["k"] ** 0.1
    value = np.log10(rate / 0.02) ** 2 + 1.0 / (1 + proposal.steps)
    return np.where(rate > 0.5, np.inf, value)


def play(search: Search, rounds: int, n: int, seed: int = 0) -> tuple[State, list[Proposal]]:
    """Ask and tell in turn."""
    key, state, proposals = jax.random.key(seed), search.init(), []
    for _ in range(rounds):
        proposal, state = search.ask(key, state, n)
        state = search.tell(state, proposal, loss(proposal))
        proposals.append(proposal)
    return state, proposals


def best_loss(state: State) -> float:
    return min(segment.loss for segment in state.told)


def fresh(proposal: Proposal) -> np.ndarray:
    return proposal.continues == FRESH
