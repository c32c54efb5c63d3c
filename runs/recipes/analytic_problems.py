"""Functions with a known minimum, on which search strategies are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hparam import Space, linear
from hparam.space import Settings

# Dixon & Szego (1978), as given by Picheny et al. (2013).
HARTMANN_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_SCALES = np.array(
    [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ]
)
HARTMANN_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


class Problem(NamedTuple):
    """`loss` maps settings to [n]; `minimum` is its smallest value on `space`."""

    name: str
    space: Space
    loss: Callable[[Settings], Float[np.ndarray, " n"]]
    minimum: float


def branin(settings: Settings) -> Float[np.ndarray, " n"]:
    """Three equal minima in two dimensions, -5 <= x0 <= 10, 0 <= x1 <= 15 (Branin, 1972)."""
    x, y = settings["x0"], settings["x1"]
    valley = y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6
    return valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10


def hartmann6(settings: Settings) -> Float[np.ndarray, " n"]:
    """Minus four Gaussian bumps in six dimensions of the unit cube; a second minimum is 0.119 higher."""
    x = np.stack([settings[f"x{i}"] for i in range(6)], axis=1)
    distance = np.sum(HARTMANN_SCALES * (x[:, None, :] - HARTMANN_CENTRES) ** 2, axis=2)
    return -np.exp(-distance) @ HARTMANN_WEIGHTS


BRANIN = Problem("Branin", Space({"x0": linear(-5, 10), "x1": linear(0, 15)}), branin, 0.39788735772973816)
HARTMANN6 = Problem(
    "Hartmann 6", Space({f"x{i}": linear(0, 1) for i in range(6)}), hartmann6, -3.322368011391339
)
