"""Updates and state in the dtypes that they came in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def keep_dtypes(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Casts updates to the dtypes of the gradients, and state to the dtypes it had.

    A hyperparameter that is traced is a strongly typed float32: without the cast it
    turns bfloat16 moments into float32 ones after a step, which `lax.scan` refuses.
    """
    inner = optax.with_extra_args_support(inner)

    def cast_like(new, old):
        return jax.tree.map(lambda n, o: jnp.asarray(n, dtype=jnp.result_type(o)), new, old)

    def update_fn(updates, state, params=None, **extra):
        new_updates, new_state = inner.update(updates, state, params, **extra)
        return cast_like(new_updates, updates), cast_like(new_state, state)

    return optax.GradientTransformationExtraArgs(inner.init, update_fn)
