"""Shampoo's statistics: how they are gathered, and when and how their inverse roots are taken."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim.factored import Factored
from optim.inverse_roots import roots_of_all
from optim.range import Scalar, Whole


class Statistics(NamedTuple):
    """Sums or averages of G_i G_i^T, packed as in `optim.factored`; the arguments are those of `scale_by_shampoo`."""

    factored: Factored
    b2: Scalar
    eps: Scalar
    exponent: Scalar | None
    relative_eps: bool

    def gathered(self, grad: jax.Array, stats: jax.Array) -> jax.Array:
        """The statistics of a leaf after one more gradient."""
        weight = jnp.where(self.b2 < 1, 1 - self.b2, 1.0)
        return self.b2 * stats + weight * self.factored.second_moments(grad)

    def roots(self, updates: optax.Updates, stats: Any, old: Any, count: jax.Array) -> Any:
        """Inverse roots of the statistics of all leaves after `count` steps; the old ones where they are not finite."""
        correction = jnp.where(self.b2 < 1, 1 - self.b2**count, 1.0)
        unpacked = self.factored.unpack_all(updates, stats), self.factored.unpack_all(updates, old)
        new = roots_of_all(*unpacked, self.exponent, correction, self.eps, self.relative_eps)
        return self.factored.pack_all(new, old)


class Refreshes(NamedTuple):
    """The steps that take new roots; the arguments are those of `scale_by_shampoo`."""

    interval: int | Whole
    phase: int | Whole
    start: int | Whole

    def is_due(self, steps: jax.Array):
        """Whether the next step refreshes, after so many."""
        on_phase = steps % self.interval == self.phase
        if self.start == 1 and self.phase == 0:
            return on_phase
        return (steps == self.start - 1) | ((steps >= self.start) & on_phase)
