"""Early stopping against the rule written as a Python loop."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reg import early_stopping

METRIC = st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.5, 1.0, float("nan"), float("inf")])
LENGTH = 8


def expected(values, patience, min_improvement):
    """(best evaluation, evaluation it stopped at or None)."""
    best, best_value, waited = 0, np.inf, 0
    for number, value in enumerate(values):
        if np.isfinite(value) and value < best_value - np.float32(min_improvement):
            best, best_value, waited = number, np.float32(value), 0
        else:
            waited += 1
        if waited >= patience:
            return best, number
    return best, None


@jax.jit
@jax.vmap
def lane(values, patience, min_improvement):
    rule = early_stopping(patience, min_improvement)

    def evaluate(state, evaluation):
        number, value = evaluation
        state = rule.update(state, jnp.float32(number), value, number)
        return state, state.stopped

    return jax.lax.scan(evaluate, rule.init(jnp.float32(-1)), (jnp.arange(LENGTH), values))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(METRIC, min_size=LENGTH, max_size=LENGTH), min_size=4, max_size=4),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.06]),
)
def test_lanes_follow_the_rule(curves, patience, min_improvement):
    state, stopped = lane(
        jnp.array(curves, jnp.float32), jnp.full(4, float(patience)), jnp.full(4, min_improvement)
    )
    for i, curve in enumerate(curves):
        best, stop = expected(np.array(curve, np.float32), patience, min_improvement)
        assert bool(state.stopped[i]) == (stop is not None)
        if stop is not None:
            assert int(np.argmax(stopped[i])) == stop
        if np.isfinite(curve[: stop + 1 if stop is not None else None]).any():
            assert int(state.step[i]) == best == int(state.params[i])
