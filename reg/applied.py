"""What a regularizer adds to training, as pure parts around a loss and an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from optim.arguments import explain_arguments
from optim.range import TRANSFORMATION

PyTree = Any
Key = jax.Array
LossFn = Callable[[PyTree, PyTree, Key], Float[Array, " m"]]
Scalar = float | jax.Array


class Applied(NamedTuple):
    """The parts of one regularizer at given strengths; each leaves everything as it is by default.

    Attributes:
      loss: `(loss_fn, num_classes) -> loss_fn`, where `loss_fn(params, batch, key)` gives the loss of each of
        the m examples of a batch `{"x", "y"}`, and `num_classes` is None where `y` holds no class labels.
      before: changes the gradient before the optimizer sees it.
      after: changes the optimizer's updates. Both get the key of the step as the extra argument `key`.
    """

    loss: Callable[[LossFn, int | None], LossFn] = lambda loss_fn, num_classes: loss_fn
    before: optax.GradientTransformation = optax.identity()
    after: optax.GradientTransformation = optax.identity()


class RegularizedState(NamedTuple):
    """States of the three parts of `regularized`."""

    before: Any
    optimizer: Any
    after: Any


@explain_arguments
def regularized(
    optimizer: optax.GradientTransformation, applied: Applied
) -> optax.GradientTransformationExtraArgs:
    """`before`, the optimizer, `after`, as one transformation.

    Like `optax.chain`, with the states under names, so that parameters to evaluate can be found in them, and
    with the extra argument `key` for the regularizer alone.

    Args:
      optimizer: any transformation.
      applied: parts of one regularizer, as `REGULARIZERS["l2"]({"l2": 0.1})` makes them.

    >>> tx = regularized(optax.sgd(0.1), Applied(after=optax.scale(2.0)))
    >>> print(tx.update(jnp.ones(1), tx.init(jnp.ones(1)))[0])
    [-0.2]
    """
    TRANSFORMATION.check("regularized", "optimizer", optimizer)
    before, inner, after = map(optax.with_extra_args_support, (applied.before, optimizer, applied.after))

    def init_fn(params):
        return RegularizedState(before.init(params), inner.init(params), after.init(params))

    def update_fn(updates, state, params=None, *, key=None, **extra):
        updates, before_state = before.update(updates, state.before, params, key=key, **extra)
        updates, inner_state = inner.update(updates, state.optimizer, params, **extra)
        updates, after_state = after.update(updates, state.after, params, key=key, **extra)
        return updates, RegularizedState(before_state, inner_state, after_state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def where_active(active: bool | jax.Array, changed: LossFn, plain: LossFn) -> LossFn:
    """`changed` where active, else `plain`: bit for bit, value and gradient.

    Both are computed, and of each its gradient; this costs up to twice the work. One loss that equals `plain`
    when it is off would agree with it up to rounding only: the compiler fuses and multiplies in another order what has
    passed through it, and examples that each lane has changed for itself are no longer one shared matrix.
    """

    def loss(params, batch, key):
        @jax.custom_vjp
        def selected(params):
            return jnp.where(active, changed(params, batch, key), plain(params, batch, key))

        def forward(params):
            new, new_vjp = jax.vjp(lambda p: changed(p, batch, key), params)
            old, old_vjp = jax.vjp(lambda p: plain(p, batch, key), params)
            return jnp.where(active, new, old), (new_vjp, old_vjp)

        def backward(vjps, cotangent):
            (new,), (old,) = (vjp(cotangent) for vjp in vjps)
            return (jax.tree.map(lambda n, o: jnp.where(active, n, o), new, old),)

        selected.defvjp(forward, backward)
        return selected(params)

    return loss


def of_result(function: Callable[[PyTree], PyTree], active: bool | jax.Array) -> optax.GradientTransformation:
    """Stateless `after` part that decides where a step ends: `params + updates -> new params`.

    Where not `active`, the updates stay bit for bit: adding 0 or multiplying by 1 would not round, but the
    compiler contracts a product and a sum into one rounding, and would do so elsewhere than in a run without
    regularizer.
    """

    def update_fn(updates, state, params=None):
        new = function(optax.apply_updates(params, updates))
        return jax.tree.map(lambda u, n, old: jnp.where(active, n - old, u), updates, new, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update_fn)
