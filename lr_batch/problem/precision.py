"""The precision in which a workload is trained."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lr_batch.problem.workload import PyTree, Workload
from optim.names import unknown

BFLOAT16, FLOAT32, FLOAT64 = "bfloat16", "float32", "float64"
PRECISIONS = (BFLOAT16, FLOAT32, FLOAT64)


def in_precision(workload: Workload, precision: str) -> Workload:
    """The workload with its numbers in another precision.

    Under "bfloat16" the training loss is computed in it, from parameters and examples that are rounded to it; parameters,
    gradients as the optimizer receives them, and evaluations stay in float32. Under "float64" everything is in it but
    the record of the metric; JAX has to be told of 64 bits before.

    Raises:
      ValueError: in one line: another name, or 64 bits that are off.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"study: {unknown('precision', precision, PRECISIONS)}")
    if precision == FLOAT64 and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            "study: precision float64 needs JAX's 64 bits: set JAX_ENABLE_X64=1, or call "
            "jax.config.update('jax_enable_x64', True) before; lr-batch --precision float64 does"
        )
    if precision == FLOAT32 or getattr(workload.loss, "precision", None) == precision:
        return workload
    statistics = workload.statistics
    if precision == BFLOAT16:
        rounded = statistics and statistics._replace(train=_trained_in(statistics.train, precision, FLOAT32))
        return workload._replace(loss=_computed_in(workload.loss, precision, FLOAT32), statistics=rounded)
    cast: dict[str, Any] = {
        name: _computed_in(getattr(workload, name), precision, precision) for name in ("loss", "evaluate")
    }
    if statistics:
        train, initial = (
            _trained_in(statistics.train, precision, precision),
            _cast(statistics.initial, precision),
        )
        cast["statistics"] = statistics._replace(train=train, initial=initial)
    return workload._replace(init=_computed_in(workload.init, precision, precision), **cast)


@functools.lru_cache
def _computed_in(function: Callable[..., PyTree], inside: str, outside: str) -> Callable[..., PyTree]:
    """The function of arguments rounded to one precision, its values in the other; the same one for the same function."""

    @functools.wraps(function)
    def computed(*args: Any) -> PyTree:
        return _cast(function(*_cast(args, inside)), outside)

    vars(computed)["precision"] = inside
    return computed


@functools.lru_cache
def _trained_in(train: Callable[..., PyTree], inside: str, outside: str) -> Callable[..., PyTree]:
    """The same of `Statistics.train`; averages stay as they are, since a step moves them by less than a rounding."""

    def trained(params, averages, batch, key):
        return _cast(train(_cast(params, inside), averages, _cast(batch, inside), key), outside)

    return trained


def _cast(tree: PyTree, dtype: str) -> PyTree:
    """Every array of floating numbers in another type; keys and whole numbers as they are."""

    def cast(leaf):
        floating = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.asarray(leaf, dtype) if floating else leaf

    return jax.tree.map(cast, tree)
