"""A user's model and arrays become a workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.problem.model import Model, as_model
from lr_batch.problem.shapes import check_shapes
from lr_batch.problem.workload import Goal, Workload

PerExample = Callable[[Any, jax.Array], jax.Array]


def from_arrays(
    model: Any,
    *,
    train: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    loss: PerExample,
    goal: Goal,
    name: str = "from_arrays",
    metrics: Mapping[str, PerExample] | None = None,
    budget: int = 10_000,
    batch_sizes: Sequence[int] | None = None,
    micro_batch: int = 1_024,
    lanes: str = "auto",
) -> Workload:
    """Makes a workload of a supervised problem: minimize the mean of `loss(model(x), y)`.

    Args:
      model: a Flax linen module, an nnx module, a function `rngs -> nnx module`,
        or a pair `(init, apply)` of `init(key) -> params` and
        `apply(params, x) -> outputs`. An nnx module starts every seed from its
        own parameters, a function `rngs -> nnx module` from fresh ones. Dropout:
        a linen `__call__` that takes `deterministic` or `train` is told which;
        the key of the stream "dropout" differs from step to step; an nnx module
        is put into `train()` or `eval()`; an `apply` that takes `key` gets one
        in training and None in evaluation.
      train: inputs `[N, ...]` and targets `[N, ...]` to train on.
      held_out: the same to evaluate the goal on.
      loss: `(outputs, y) -> [m]`, one value for each example, such as
        `optax.softmax_cross_entropy_with_integer_labels`.
      goal: metric and threshold. Metrics are "loss", those of `metrics`, and,
        where targets are integers and outputs have one more axis, "error": the
        share of wrong `argmax(outputs)`.
      name: of the workload in the store and the figures.
      metrics: name -> `(outputs, y) -> [n]`, beside "loss" and "error".
      budget: limit on the optimizer steps of one trial, >= 1.
      batch_sizes: default batch sizes; powers of 2 up to 1,024 and the number of
        training examples where None.
      micro_batch: most examples differentiated at once, >= 1.
      lanes: "vmap", "blocks", "map" or "auto"; see `Workload`.

    Raises:
      ValueError: on any mistake that shapes reveal, in one line, before anything
        is compiled.

    >>> import optax
    >>> x, y = np.eye(4, dtype=np.float32), np.arange(4)
    >>> model = (lambda key: jnp.zeros((4, 4)), lambda params, x: x @ params)
    >>> loss = optax.softmax_cross_entropy_with_integer_labels
    >>> from_arrays(model, train=(x, y), held_out=(x, y), loss=loss, goal=Goal("error", 0.5)).batch_sizes
    (1, 2, 4)
    """
    train_data, eval_data = _checked_data("train", train), _checked_data("held_out", held_out)
    _check_rows_alike(train_data, eval_data)
    as_pure = as_model(model)
    all_metrics = {"loss": loss, **(metrics or {})}
    workload = Workload(
        name=name,
        init=lambda key: as_pure.init(key, jnp.asarray(train_data["x"][:1])),
        loss=lambda params, batch, key: loss(as_pure.apply(params, batch["x"], key), batch["y"]),
        evaluate=_evaluate(as_pure, all_metrics),
        train_data=train_data,
        eval_data=eval_data,
        goal=goal,
        budget=budget,
        batch_sizes=_batch_sizes(batch_sizes, len(train_data["y"])),
        micro_batch=micro_batch,
        lanes=lanes,
    )
    check_shapes("from_arrays", workload, goal.metric)
    return workload


def wrong_share(outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Share of wrong `argmax(outputs)` in each example, `[n]`; outputs `[n, ..., classes]`, y `[n, ...]`."""
    wrong = (jnp.argmax(outputs, axis=-1) != y).astype(jnp.float32)
    return wrong.reshape(wrong.shape[0], -1).mean(axis=1)


def _evaluate(model: Model, metrics: Mapping[str, PerExample]):
    def evaluate(params, batch):
        outputs, y = model.apply(params, batch["x"], None), batch["y"]
        classifies = jnp.issubdtype(y.dtype, jnp.integer) and jnp.shape(outputs)[:-1] == y.shape
        named = {"error": wrong_share, **metrics} if classifies else metrics
        return {name: metric(outputs, y) for name, metric in named.items()}

    return evaluate


def _checked_data(what: str, pair: Any) -> dict[str, np.ndarray]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise ValueError(f"from_arrays: {what} must be a pair (x, y) of arrays, got {type(pair).__name__}")
    data = {side: _checked_array(f"{what} {side}", array) for side, array in zip("xy", pair, strict=True)}
    if len(data["x"]) != len(data["y"]):
        raise ValueError(f"from_arrays: {what} has {len(data['x'])} rows in x but {len(data['y'])} in y")
    return data


def _check_rows_alike(train: Mapping[str, np.ndarray], held_out: Mapping[str, np.ndarray]) -> None:
    for side in "xy":
        ours, theirs = held_out[side].shape[1:], train[side].shape[1:]
        if ours != theirs:
            raise ValueError(
                f"from_arrays: held_out {side} has rows of shape {ours}, train {side} of {theirs}"
            )


def _checked_array(what: str, array: Any) -> np.ndarray:
    if not hasattr(array, "__array__"):
        raise ValueError(f"from_arrays: {what} must be an array, got {type(array).__name__}")
    array = np.asarray(array)
    if array.ndim == 0 or len(array) == 0 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"from_arrays: {what} must hold numbers and at least one row, "
            f"got {array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"from_arrays: {what} has values that are not finite")
    return np.ascontiguousarray(array, jax.dtypes.canonicalize_dtype(array.dtype))


def _batch_sizes(batch_sizes: Sequence[int] | None, examples: int) -> tuple[int, ...]:
    if batch_sizes is None:
        return tuple(2**i for i in range(11) if 2**i <= examples)
    return tuple(batch_sizes)
