"""Metrics of the whole held-out set, which are no means over examples: exact however the set is cut into blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Nats; its exponential is finite in float32, so that a high loss is not taken for a divergence
LARGEST_LOSS = 80.0


AnyArray = Any  # of NumPy, or of JAX


class Metric(NamedTuple):
    """A metric that is computed block by block: F1, for example, from counts.

    Attributes:
      init: `() -> state`, a tree of arrays.
      accumulate: `(state, outputs, y, weights) -> state` after a block of n examples, in the same shapes and dtypes.
        Weights `[n]` are those of the examples (or `[n, ...]`, as they were given), 1 where none were given and 0 for
        rows that only fill a block: these must not count.
      finish: `state -> number`.

    >>> def counts(state, outputs, y, weights):
    ...     found, wanted = outputs > 0, y == 1
    ...     return state + jnp.stack([weights @ (found & wanted), weights @ found, weights @ wanted])
    >>> f1 = Metric(lambda: jnp.zeros(3), counts, lambda s: 2 * s[0] / (s[1] + s[2]))
    >>> outputs, y, weights = jnp.array([1.0, 1.0, -1.0]), jnp.array([1, 0, 1]), jnp.ones(3)
    >>> float(f1.finish(f1.accumulate(f1.init(), outputs, y, weights)))
    0.5
    """

    init: Callable[[], Any]
    accumulate: Callable[..., Any]
    finish: Callable[[Any], Float[Array, ""]]


def by_example(weights: Float[AnyArray, "n ..."]) -> Float[AnyArray, " n"]:
    """Weights of examples from those of their parts."""
    return weights.reshape(len(weights), -1).sum(axis=1)


def weighted_sum(values: Float[AnyArray, "n ..."], weights: Float[AnyArray, "n ..."]) -> Float[Array, ""]:
    """Of values that count; what has weight 0 may be anything, NaN too."""
    return jnp.sum(jnp.where(weights > 0, weights * values, 0.0))


def _add_to_mean(state, values, weights):
    weights = by_example(weights)
    return state[0] + weighted_sum(values, weights), state[1] + jnp.sum(weights)


def _mean(state):
    return state[0] / state[1]


def _perplexity(state):
    mean = _mean(state)
    return jnp.where(jnp.isfinite(mean), jnp.exp(jnp.minimum(mean, LARGEST_LOSS)), mean)


def _two_zeros():
    return jnp.zeros(()), jnp.zeros(())


MEAN = Metric(_two_zeros, _add_to_mean, _mean)  # of values [n]
PERPLEXITY = Metric(_two_zeros, _add_to_mean, _perplexity)  # exp(mean loss), of losses [n] in nats


def _add_squares(state, outputs, y, weights):
    squares = jnp.square(_columns(outputs) - _columns(y))
    spread = _of_columns(weights, squares.shape[1])
    squares = squares.mean(axis=1, keepdims=True) if spread.shape[1] == 1 else squares
    return state[0] + weighted_sum(squares, spread), state[1] + jnp.sum(spread)


RMSE = Metric(_two_zeros, _add_squares, lambda state: jnp.sqrt(_mean(state)))


class Variation(NamedTuple):
    """Of targets so far: weight, mean and sum of squares around it; `residual` is that around the outputs."""

    weight: Float[Array, ""]
    mean: Float[Array, " columns"]
    squares: Float[Array, " columns"]
    residual: Float[Array, " columns"]


def r2(columns: int) -> Metric:
    """1 - sum (y - f)^2 / sum (y - mean y)^2, the mean over columns of targets.

    Means and squares of blocks are combined as by Chan, Golub & LeVeque (1983): sums of y and y^2 would cancel.

    Args:
      columns: numbers in the target of an example.
    """

    def init():
        return Variation(jnp.zeros(()), *(jnp.zeros(columns) for _ in range(3)))

    def accumulate(state, outputs, y, weights):
        y, outputs, weights = _columns(y), _columns(outputs), weights[:, None]
        weight = jnp.sum(weights)
        total = state.weight + weight
        mean = jnp.sum(weights * y, axis=0) / jnp.where(weight > 0, weight, 1.0)
        shift, share = mean - state.mean, jnp.where(total > 0, weight / jnp.where(total > 0, total, 1.0), 0.0)
        squares = jnp.sum(weights * jnp.square(y - mean[None]), axis=0)
        return Variation(
            total,
            state.mean + shift * share,
            state.squares + squares + jnp.square(shift) * state.weight * share,
            state.residual + jnp.sum(weights * jnp.square(y - outputs), axis=0),
        )

    return Metric(init, accumulate, lambda state: jnp.mean(1 - state.residual / state.squares))


def average_precision(rows: int, columns: int) -> Metric:
    """sum_k (R_k - R_{k-1}) P_k over the distinct scores, pooled over labels ("micro"); exact: all scores are kept.

    P_k and R_k are precision and recall of what scores at least the k-th highest score.

    Args:
      rows: held-out examples.
      columns: labels of an example; targets are positive where they are 1.
    """

    def init():
        return jnp.int32(0), *(jnp.zeros((rows, columns)) for _ in range(3))

    def accumulate(state, outputs, y, weights):
        count, *kept = state
        outputs = _columns(outputs)
        weights = jnp.broadcast_to(_of_columns(weights, columns), outputs.shape)
        counts = jnp.any(weights > 0, axis=1)
        places = jnp.where(counts, count + jnp.cumsum(counts) - 1, rows)  # beyond the end: dropped
        new = (outputs, (_columns(y) == 1) * weights, weights)
        kept = [old.at[places].set(block, mode="drop") for old, block in zip(kept, new, strict=True)]
        return count + jnp.sum(counts, dtype=jnp.int32), *kept

    def finish(state):
        return ranked_precision(*(leaf.ravel() for leaf in state[1:]))

    return Metric(init, accumulate, finish)


def ranked_precision(
    scores: Float[Array, " n"], hits: Float[Array, " n"], weights: Float[Array, " n"]
) -> Float[Array, ""]:
    """Average precision of scored examples; `hits` are the weights of the positive ones, 0 for the others."""
    order = jnp.argsort(-scores)
    scores, hits, weights = scores[order], hits[order], weights[order]
    found, taken = jnp.cumsum(hits), jnp.cumsum(weights)
    ends = jnp.append(scores[1:] != scores[:-1], True)  # of runs of equal scores, which are taken together
    last = lambda sums: jax.lax.cummin(jnp.where(ends, sums, jnp.inf), reverse=True)
    taken = last(taken)
    precision = jnp.where(taken > 0, last(found) / jnp.where(taken > 0, taken, 1.0), 0.0)
    # NaN ranks somewhere; the lane that makes it has diverged.
    return jnp.where(jnp.isnan(scores).any(), jnp.nan, jnp.sum(hits * precision) / jnp.sum(hits))


def _of_columns(weights: Float[AnyArray, "n ..."], columns: int) -> Float[AnyArray, "n weights"]:
    """One weight of each example, or those of all numbers of its target, whose parts may be vectors."""
    parts = weights.reshape(len(weights), -1)
    if parts.shape[1] in (1, columns):
        return parts
    return jnp.repeat(parts, columns // parts.shape[1], axis=1)


def _columns(values: Any) -> Float[Array, "n columns"]:
    return jnp.asarray(values, jnp.float32).reshape(len(values), -1)
