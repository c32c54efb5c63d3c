"""Arrays of a user as the arrays that are trained on: no information may be lost on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.problem.column import Column
from optim.arguments import type_of
from optim.users_error import calling

EXACT = 2**24  # up to here float32 holds every whole number
LOST = 0.01  # of a column's spread: more must not be rounded away


def checked_data(what: str, pair: Any) -> dict[str, Any]:
    """`{"x", "y"}` in the dtypes in which they are trained on.

    Args:
      what: begins the message.
      pair: inputs `[N, ...]` and targets `[N, ...]`; columns of streamed data stay as they are.

    Raises:
      ValueError: one line, if these are no arrays of numbers, of unequal length, or hold what would be lost.
    """
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise ValueError(f"from_arrays: {what} must be a pair (x, y) of arrays, got {type_of(pair)}")
    data = {side: checked_array(f"{what} {side}", array) for side, array in zip("xy", pair, strict=True)}
    if len(data["x"]) != len(data["y"]):
        raise ValueError(f"from_arrays: {what} has {len(data['x'])} rows in x but {len(data['y'])} in y")
    return data


def check_rows_alike(train: Mapping[str, Any], held_out: Mapping[str, Any]) -> None:
    """Raises ValueError where rows of the two parts differ in shape or kind."""
    for side in "xy":
        ours, theirs = held_out[side], train[side]
        if ours.shape[1:] != theirs.shape[1:]:
            raise ValueError(
                f"from_arrays: held_out {side} has rows of shape {ours.shape[1:]}, train {side} of {theirs.shape[1:]}"
            )
        if ours.dtype.kind != theirs.dtype.kind and "f" in ours.dtype.kind + theirs.dtype.kind:
            raise ValueError(f"from_arrays: held_out {side} is {ours.dtype}, train {side} is {theirs.dtype}")


def checked_array(what: str, array: Any) -> Any:
    """The array in the dtype that JAX will give it, once nothing is lost by that."""
    if isinstance(array, Column) and jax.dtypes.canonicalize_dtype(array.dtype) == array.dtype:
        return array  # what it holds is not read before it is trained on
    if not hasattr(array, "__array__"):
        raise ValueError(f"from_arrays: {what} must be an array, got {type_of(array)}")
    if np.ma.is_masked(array):
        raise ValueError(
            f"from_arrays: {what} has {np.ma.count_masked(array)} masked values, which would be trained on as if they "
            "were there; fill them or leave their rows out"
        )
    array = calling(f"from_arrays: {what} as an array of NumPy", np.asarray, array)
    is_number = jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool
    if array.ndim == 0 or len(array) == 0 or not is_number or array.dtype.kind == "c":
        raise ValueError(
            f"from_arrays: {what} must hold numbers and at least one row, "
            f"got {array.dtype} of shape {array.shape}"
        )
    if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(array).all():
        raise ValueError(f"from_arrays: {what} has values that are not finite")
    return np.ascontiguousarray(_cast(what, array))


def _cast(what: str, array: np.ndarray) -> np.ndarray:
    """In JAX's dtype."""
    known = np.dtype(float) if array.dtype == np.longdouble else array.dtype  # JAX has no wider one
    dtype = np.dtype(jax.dtypes.canonicalize_dtype(known))
    if array.dtype.kind in "iu":
        return _cast_integers(what, array, dtype)
    if dtype == array.dtype:
        return array
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    _check_rounding(what, array, cast)
    return cast


def _cast_integers(what: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Those that float32 cannot tell apart, in which a loss or a layer computes, are refused too."""
    extremes = array.max(), array.min()
    limits = np.iinfo(dtype)
    for value in extremes:
        if not limits.min <= value <= limits.max:
            raise ValueError(
                f"from_arrays: {what} has {value}, which {dtype} cannot hold: scale it, or use float"
            )
    if max(map(abs, map(int, extremes))) > EXACT:
        _check_rounding(what, array.astype(float), array.astype(np.float32))
    return array.astype(dtype, copy=False)


def _check_rounding(what: str, array: np.ndarray, cast: np.ndarray) -> None:
    """Values of a column that differ must still differ, by about as much."""
    if not np.isfinite(cast).all():
        raise ValueError(
            f"from_arrays: {what} has {np.abs(array).max():.3g}, which {cast.dtype} cannot hold: scale it"
        )
    tiny = (np.abs(cast) < np.finfo(cast.dtype).tiny) & (array != 0)  # rounded to 0, or taken for it
    kept = np.where(tiny, 0, cast).astype(array.dtype)
    columns = lambda values: values.reshape(len(values), -1) if len(values) > 1 else values.reshape(-1, 1)
    lost, spread = (np.abs(columns(v)).max(axis=0) for v in (kept - array, array - array[:1]))
    worst = np.flatnonzero(lost > LOST * spread) if len(array) > 1 else np.flatnonzero(tiny)
    worst = [i for i in worst if len(array) == 1 or spread[i] > 0]
    if worst:
        raise ValueError(
            f"from_arrays: {what} differs by less than {cast.dtype} can tell apart (column {worst[0]}, values around "
            f"{array.reshape(len(array), -1)[0, worst[0]]:.6g}): subtract the mean and divide by the spread"
        )
