"""Early stopping: training ends where held-out performance no longer gets better."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from optim.hyperparameters import hyperparameters
from optim.range import NON_NEGATIVE, Range
from reg.applied import PyTree, Scalar

NEVER = 1e9  # a patience that no training outlasts


class EarlyStoppingState(NamedTuple):
    """`params` are those of the best evaluation so far, at `step`, with the held-out metric `value`.

    `waited` evaluations since were not better by the minimum improvement; `stopped` once the patience is used
    up.
    """

    params: PyTree
    value: Float[Array, ""]
    step: Int[Array, ""]
    waited: Int[Array, ""]
    stopped: Bool[Array, ""]


class EarlyStopping(NamedTuple):
    """`init: params -> state`; `update: (state, params, value, step) -> state` after each evaluation."""

    init: Callable[[PyTree], EarlyStoppingState]
    update: Callable[[EarlyStoppingState, PyTree, Float[Array, ""], Int[Array, ""]], EarlyStoppingState]


@hyperparameters(patience=Range(low=1.0), min_improvement=NON_NEGATIVE)
def early_stopping(patience: Scalar, min_improvement: Scalar = 0.0) -> EarlyStopping:
    """Stops after `patience` evaluations in a row without improvement (Prechelt, 1998, in the form of Keras).

    An evaluation is an improvement where its metric is below best - `min_improvement`; a metric that is not
    finite never is. The parameters of the best evaluation are kept, to be restored at the end. With a patience
    of `NEVER` the rule is off: those of the last one are.

    Args:
      patience: evaluations, >= 1.
      min_improvement: in units of the metric, >= 0.

    >>> rule = early_stopping(1.0)
    >>> state = rule.init(jnp.zeros(()))
    >>> for step, value in enumerate((0.5, 0.7)):
    ...     state = rule.update(state, jnp.float32(step), jnp.float32(value), jnp.int32(step))
    >>> bool(state.stopped), float(state.value)
    (True, 0.5)
    """

    def init(params):
        return EarlyStoppingState(params, jnp.float32(jnp.inf), jnp.int32(0), jnp.int32(0), jnp.bool_(False))

    def update(state, params, value, step):
        better = (value < state.value - min_improvement) & ~state.stopped & jnp.isfinite(value)
        better |= patience >= NEVER
        waited = jnp.where(better, 0, state.waited + ~state.stopped)
        choose = lambda new, old: jax.tree.map(lambda n, o: jnp.where(better, n, o), new, old)
        return EarlyStoppingState(
            choose(params, state.params),
            choose(value, state.value),
            choose(step, state.step),
            waited,
            state.stopped | (waited >= patience),
        )

    return EarlyStopping(init, update)
