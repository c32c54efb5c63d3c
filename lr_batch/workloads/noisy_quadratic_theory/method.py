"""A linear method on one coordinate: z' = A z + b n with z = (w, v, average of w), Var[n] = 1 / B."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Method(NamedTuple):
    """g = h^-p (h w + n), v' = m v + g, w' = w - a v', e' = c e + (1 - c) w'; the loss is that of e.

    Attributes:
      momentum: m of the heavy ball, in [0, 1).
      power: p of the preconditioner h^-p, in [0, 1].
      averaging: c of the exponential average of the iterates, e_0 = w_0, in [0, 1); 0 is the last iterate.
    """

    momentum: float = 0.0
    power: float = 0.0
    averaging: float = 0.0

    def checked(self) -> Method:
        """Itself.

        Raises:
          ValueError: where a constant is outside its range.
        """
        for name, value in self._asdict().items():
            if not 0.0 <= value <= 1.0 or (value == 1.0 and name != "power"):
                allowed = "[0, 1]" if name == "power" else "[0, 1)"
                raise ValueError(f"noisy_quadratic_theory: {name} must be in {allowed}, got {value}")
        return self

    def max_rate(self, h: Float[np.ndarray, " dim"]) -> float:
        """2 (1 + m) / max h^(1 - p): at this rate and beyond the loss grows forever."""
        return float(2.0 * (1.0 + self.momentum) / (h ** (1.0 - self.power)).max())


class Step(NamedTuple):
    """One update, or several: z' = A z, and Q' = A Q A^T + `added` for the covariance Q of the noise at B = 1."""

    matrix: Float[np.ndarray, "d d rates modes"]
    added: Float[np.ndarray, "d d rates modes"]


def curvature(dim: int) -> Float[np.ndarray, " dim"]:
    """h_i = 1/i, i = 1..dim."""
    return 1.0 / np.arange(1, dim + 1)


def one_step(method: Method, rate: Float[np.ndarray, " rates"], h: Float[np.ndarray, " modes"]) -> Step:
    """The update at each rate a and curvature h; components that the method lacks are left out."""
    m, p, c = method
    gain = h**-p
    a, one = rate[:, None], np.ones((len(rate), len(h)))
    w = [1.0 - a * gain * h, -a * m * one]
    v = [gain * h * one, m * one]
    noise = [-a * gain * np.sqrt(h), gain * np.sqrt(h) * one]
    num = 2 if m else 1
    rows = [row[:num] for row in (w, v)[:num]]
    column = noise[:num]
    if c:
        rows = [[*row, 0.0 * one] for row in rows] + [[(1.0 - c) * x for x in w[:num]] + [c * one]]
        column = [*column, (1.0 - c) * noise[0]]
    matrix, noise = np.array(rows), np.array(column)
    return Step(matrix, noise[:, None] * noise[None])


def start(method: Method, shape: tuple[int, int]) -> Float[np.ndarray, "d rates modes"]:
    """z_0 for w_0 = 1: no velocity, and the average is w_0."""
    parts = [1.0] + [0.0] * bool(method.momentum) + [1.0] * bool(method.averaging)
    return np.broadcast_to(np.array(parts)[:, None, None], (len(parts), *shape)).copy()


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product over the two leading axes, of which there are many small ones behind."""
    return sum(a[:, j, None] * b[None, j] for j in range(a.shape[1]))  # pyright: ignore[reportReturnType]


def twice(step: Step) -> Step:
    """`step` and `step` again."""
    return Step(product(step.matrix, step.matrix), step.added + carried(step.matrix, step.added))


def carried(matrix: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """A Q A^T."""
    return product(matrix, np.swapaxes(product(matrix, covariance), 0, 1))
