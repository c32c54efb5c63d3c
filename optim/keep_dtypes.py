"""Updates and state in the dtypes that they came in, arithmetic in float32 at least."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from optim.arguments import explain_arguments


@explain_arguments
def keep_dtypes(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Casts updates to the dtypes of the gradients, and state to the dtypes it had.

    A hyperparameter that is traced is a strongly typed float32: without the cast it changes the type of a
    state after a step, which `lax.scan` refuses.

    Floating point numbers of less than 32 bits are widened before `inner` sees them, so that its state and
    its arithmetic are float32: in bfloat16 a second moment with decay 0.999 stops at twice its value, since
    what a step adds is below the last bit, and in float16 the usual eps = 1e-8 is 0. Options such as `mu_dtype`
    make single parts of the state narrow again. Numbers of Python become arrays.

    >>> state = keep_dtypes(optax.scale_by_adam()).init({"w": jnp.ones(2, jnp.bfloat16)})
    >>> state.nu["w"].dtype
    dtype('float32')
    """
    if not all(callable(getattr(inner, part, None)) for part in ("init", "update")):
        kind = type(inner).__name__
        raise ValueError(f"keep_dtypes: inner must be an optax.GradientTransformation, got {kind}")
    inner = optax.with_extra_args_support(inner)

    def init_fn(params):
        state = inner.init(widened(params))
        return _cast_like(state, state)  # no weak types, for which a second step would be compiled again

    def update_fn(updates, state, params=None, **extra):
        wide_extra = _widened_extra(extra, params)
        new_updates, new_state = inner.update(widened(updates), state, widened(params), **wide_extra)
        return _cast_like(new_updates, updates), _cast_like(new_state, state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _cast_like(new: Any, old: Any) -> Any:
    return jax.tree.map(lambda n, o: jnp.asarray(n, dtype=jnp.result_type(o)), new, old)


def widened(tree: Any) -> Any:
    """The arrays of a tree, floating point numbers in float32 at least."""

    def wide(leaf):
        leaf = leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf)
        narrow = jnp.issubdtype(leaf.dtype, jnp.floating) and jnp.finfo(leaf.dtype).bits < 32
        return leaf.astype(jnp.float32) if narrow else leaf

    return jax.tree.map(wide, tree)


def _widened_extra(extra: dict[str, Any], params: Any) -> dict[str, Any]:
    """The arguments of line searches and of SAM: functions still see parameters of their own dtypes."""

    def of_own_params(function: Callable) -> Callable:
        return lambda p, **given: widened(function(_cast_like(p, params), **given))

    functions = {name: of_own_params(extra[name]) for name in ("value_fn", "grad_fn") if extra.get(name)}
    values = {name: widened(extra[name]) for name in ("value", "grad") if name in extra}
    return {**extra, **functions, **values}
