"""Schedule-free learning: averaging of iterates instead of a decaying rate."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim.range import DECAY, NON_NEGATIVE, POSITIVE, Range, Scalar, ScalarOrSchedule, hyperparameters

INTERPOLATION = Range(low=0.0, high=1.0, low_open=True, high_open=True)  # x is recovered by dividing by it


class ScheduleFreeState(NamedTuple):
    count: jax.Array  # steps taken
    b1: jax.Array  # kept for `averaged_params`, which has no other access to it
    max_rate: jax.Array  # largest learning rate so far
    weight_sum: jax.Array  # sum of the weights of the average
    z: optax.Params  # the sequence that takes the steps; as params
    base: optax.OptState


@hyperparameters(learning_rate=POSITIVE, b1=INTERPOLATION)
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
    """
    base = optax.with_extra_args_support(base)

    def init_fn(params):
        zero = jnp.zeros([], jnp.result_type(float))
        z = jax.tree.map(jnp.array, params)  # a copy, so that both can be donated
        return ScheduleFreeState(
            jnp.zeros([], jnp.int32), jnp.asarray(b1, zero.dtype), zero, zero, z, base.init(params)
        )

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


def averaged_params(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """The average x = (y - (1 - b1) z) / b1 of a schedule-free optimizer whose parameters are y."""
    is_state = lambda node: isinstance(node, ScheduleFreeState)
    found = [node for node in jax.tree.leaves(opt_state, is_leaf=is_state) if is_state(node)]
    if len(found) != 1:
        raise ValueError(f"averaged_params: opt_state must hold one ScheduleFreeState, got {len(found)}")
    b1, z = found[0].b1, found[0].z
    return jax.tree.map(lambda y, z: jnp.asarray((y - (1 - b1) * z) / b1, y.dtype), params, z)


@hyperparameters(learning_rate=POSITIVE, b1=INTERPOLATION, weight_decay=NON_NEGATIVE)
def schedule_free_sgd(
    learning_rate: ScalarOrSchedule, b1: Scalar = 0.9, weight_decay: Scalar = 0.0
) -> optax.GradientTransformationExtraArgs:
    """Schedule-free SGD; decay is taken at y, d = g + wd y (Defazio et al., 2024, section 3)."""
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
    """
    second_moment = optax.scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True)
    base = optax.chain(second_moment, optax.add_decayed_weights(weight_decay))
    return schedule_free(base, learning_rate, b1)
