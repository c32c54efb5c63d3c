"""Schedule-free learning: averaging of iterates instead of a decaying rate."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim.arguments import explain_arguments
from optim.hyperparameters import hyperparameters
from optim.range import DECAY, NON_NEGATIVE, POSITIVE, TRANSFORMATION, Range, Scalar, ScalarOrSchedule

INTERPOLATION = Range(low=0.0, high=1.0, low_open=True, high_open=True)  # x is recovered by dividing by it


class ScheduleFreeState(NamedTuple):
    count: jax.Array  # steps taken
    b1: jax.Array  # kept for `averaged_params`, which has no other access to it
    max_rate: jax.Array  # largest learning rate so far
    weight_sum: jax.Array  # sum of the weights of the average
    z: optax.Params  # the sequence that takes the steps; as params
    base: optax.OptState


@hyperparameters(base=TRANSFORMATION, learning_rate=POSITIVE, b1=INTERPOLATION)
def schedule_free(
    base: optax.GradientTransformation, learning_rate: ScalarOrSchedule, b1: Scalar = 0.9
) -> optax.GradientTransformationExtraArgs:
    """z <- z - lr d(y), x <- (1 - c) x + c z, y <- (1 - b1) z + b1 x (Defazio et al., 2024, eqs. 3-5).

    y are the parameters that are trained, so gradients are taken there; x, the average, is
    what to evaluate (`averaged_params`). d is the direction that `base` makes of the
    gradient, without momentum and without rate. c = lr_max^2 / sum of lr_max^2, lr_max the
    largest rate so far, as in the authors' code; 1/t for a constant rate.

    Optax's version sums the weights in the lowest dtype of the parameters, which stalls
    after 256 steps of bfloat16; here they are float32 at least.

    Args:
      base: makes d of the gradient.
      learning_rate: lr, in (0, inf); a number or a schedule, of which none but a warm-up is needed.
      b1: share of x in y, in (0, 1).

    >>> tx = schedule_free(optax.identity(), 0.1)
    >>> updates, state = tx.update(2.0, tx.init(1.0), 1.0)
    >>> print(f"{updates:.2f} {averaged_params(state, 1.0 + updates):.2f}")
    -0.20 0.80
    """
    base = optax.with_extra_args_support(base)

    def init_fn(params):
        zero = lambda: jnp.zeros([], jnp.result_type(float))
        # Copies and a zero for each field, so that parameters and state can all be donated.
        z = jax.tree.map(jnp.array, params)
        b1_kept = jnp.array(b1, jnp.result_type(float))
        return ScheduleFreeState(jnp.zeros([], jnp.int32), b1_kept, zero(), zero(), z, base.init(params))

    def update_fn(updates, state, params=None, **extra):
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        max_rate = jnp.maximum(state.max_rate, rate)
        weight_sum = state.weight_sum + max_rate**2
        c = jnp.where(weight_sum > 0, max_rate**2 / jnp.where(weight_sum > 0, weight_sum, 1.0), 0.0)
        directions, base_state = base.update(updates, state.base, params, **extra)
        z = jax.tree.map(lambda z, d: z - rate * d, state.z, directions)

        def step(y, z_old, z_new):
            x = (1 - c) * (y - (1 - b1) * z_old) / b1 + c * z_new
            return (1 - b1) * z_new + b1 * x - y

        steps = jax.tree.map(step, params, state.z, z)
        count = optax.safe_increment(state.count)
        return steps, ScheduleFreeState(count, state.b1, max_rate, weight_sum, z, base_state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@explain_arguments
def eval_params(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """The parameters to evaluate: averages where a schedule-free state keeps some, `params` elsewhere.

    The state may be nested in others (`optax.chain`, `MultiSteps`, `inject_hyperparams`), be that of
    `optax.contrib.schedule_free`, or cover a part of the parameters (`optax.masked`, `optax.partition`).

    Args:
      opt_state: state of any optimizer.
      params: y, the parameters that are trained.

    Raises:
      ValueError: where two states average the same parameter.

    >>> tx = optax.sgd(0.1)
    >>> eval_params(tx.init(1.0), 1.0)
    1.0
    """
    states = _schedule_free_states(opt_state)
    covered = [
        jax.tree_util.keystr(path) for state in states for path, _ in jax.tree.leaves_with_path(state.z)
    ]
    if len(set(covered)) < len(covered):
        raise ValueError("eval_params: opt_state holds two schedule-free averages of the same parameter")
    for state in states:
        params = _average(state, params)
    return params


@explain_arguments
def averaged_params(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """The average x = (y - (1 - b1) z) / b1 of a schedule-free optimizer whose parameters are y.

    Args:
      opt_state: a state that holds one of a schedule-free optimizer.
      params: y, the parameters that are trained.

    Raises:
      ValueError: where there is none; `eval_params` then gives the parameters back.
    """
    if not _schedule_free_states(opt_state):
        raise ValueError("averaged_params: opt_state holds no ScheduleFreeState; eval_params takes any state")
    return eval_params(opt_state, params)


def _schedule_free_states(opt_state: optax.OptState) -> list:
    is_state = lambda node: isinstance(node, (ScheduleFreeState, optax.contrib.ScheduleFreeState))
    return [node for node in jax.tree.leaves(opt_state, is_leaf=is_state) if is_state(node)]


def _average(state, params: optax.Params) -> optax.Params:
    hidden = lambda node: isinstance(node, optax.MaskedNode)

    def average(z, y):
        return y if hidden(z) else jnp.asarray((y - (1 - state.b1) * z) / state.b1, jnp.result_type(y))

    return jax.tree.map(average, state.z, params, is_leaf=hidden)


@hyperparameters(learning_rate=POSITIVE, b1=INTERPOLATION, weight_decay=NON_NEGATIVE)
def schedule_free_sgd(
    learning_rate: ScalarOrSchedule, b1: Scalar = 0.9, weight_decay: Scalar = 0.0
) -> optax.GradientTransformationExtraArgs:
    """Schedule-free SGD; decay is taken at y, d = g + wd y (Defazio et al., 2024, section 3).

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule, of which none but a warm-up is needed.
      b1: share of x in y, in (0, 1).
      weight_decay: wd, gradient per parameter, in [0, inf).

    >>> tx = schedule_free_sgd(0.1)
    >>> print(f"{tx.update(2.0, tx.init(1.0), 1.0)[0]:.2f}")
    -0.20
    """
    return schedule_free(optax.add_decayed_weights(weight_decay), learning_rate, b1)


@hyperparameters(learning_rate=POSITIVE, b1=INTERPOLATION, b2=DECAY, eps=POSITIVE, weight_decay=NON_NEGATIVE)
def schedule_free_adamw(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """Schedule-free AdamW, d = g / (sqrt(v_hat) + eps) + wd y (Defazio et al., 2024, algorithm 1).

    Departure: the weights of the average use lr and not lr sqrt(1 - b2^t).

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule, of which none but a warm-up is needed.
      b1: share of x in y, in (0, 1).
      b2: decay of the second moment v, in [0, 1).
      eps: in units of the gradient, in (0, inf).
      weight_decay: wd, in [0, inf).

    >>> tx = schedule_free_adamw(0.1)
    >>> print(f"{tx.update(2.0, tx.init(1.0), 1.0)[0]:.2f}")
    -0.10
    """
    second_moment = optax.scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True)
    base = optax.chain(second_moment, optax.add_decayed_weights(weight_decay))
    return schedule_free(base, learning_rate, b1)
