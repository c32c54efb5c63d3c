"""Runs a workload on shapes alone, so that what they reveal is found before anything is compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.problem.goal import complement
from lr_batch.problem.workload import Goal, Workload, num_examples
from optim.arguments import type_of
from optim.names import unknown
from optim.users_error import first_line

ROWS = 2  # examples of the batch that is traced


def check_shapes(owner: str, workload: Workload, goal: Goal) -> None:
    """Checks what the functions of `workload` return.

    Args:
      owner: begins the message.
      workload: the problem.
      goal: whose metric must be one of the held-out ones.

    Raises:
      ValueError: one line, if a function fails or returns anything but one value for each example, if the
        training loss is not a float, if the goal's metric is unknown, or if there are no real parameters to train.
    """
    _check_micro_batch(owner, workload.micro_batch)
    for data in (workload.train_data, workload.eval_data):
        num_examples(data)  # refuses arrays of unequal length
    key = jax.eval_shape(jax.random.key, 0)
    params = shapes_of(owner, "the model's init", workload.init, key)
    _check_params(owner, params)
    train, held_out = _rows(workload.train_data), _rows(workload.eval_data)
    loss = shapes_of(owner, "the model with its loss", workload.loss, params, train, key)
    _check_per_example(owner, "loss", loss)
    # Its gradient would be zero, and nothing would be trained
    if not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(f"{owner}: loss must return floating-point numbers, got {loss.dtype}")
    start = jax.eval_shape(workload.before_training, key)
    metrics = shapes_of(owner, "the model with its metrics", workload.evaluate, start, held_out)
    if not isinstance(metrics, Mapping):
        raise ValueError(f"{owner}: evaluate must return metrics by name, got {type_of(metrics)}")
    for name, value in metrics.items():
        if name in workload.metrics:
            _check_whole_set(owner, workload, name, value)
        else:
            _check_per_example(owner, name, value)
    if goal.metric not in metrics:
        raise ValueError(
            f"{owner}: {unknown('goal metric', goal.metric, metrics)}{complement(goal, metrics)}"
        )


def check_parameters(owner: str, workload: Workload, params: Any) -> None:
    """Raises ValueError, in one line, unless `params` has the leaves and shapes that `workload.init` gives."""
    wanted = jax.eval_shape(workload.init, jax.eval_shape(jax.random.key, 0))
    shapes = lambda tree: {
        jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    given, right = shapes(params), shapes(wanted)
    if given != right:
        differs = next(name for name in {**right, **given} if given.get(name) != right.get(name))
        said = lambda found: f"of shape {found[differs]}" if differs in found else "missing"
        raise ValueError(
            f"{owner}: params must be those of {workload.name}, such as workload.init(key) gives: leaf "
            f"{differs or 'params'} is {said(given)} in params, {said(right)} in init"
        )


def check_groups(batch_sizes: Sequence[int], workload: Workload) -> None:
    """Raises ValueError where a batch of a model with batch statistics has no whole number of groups."""
    if odd := [size for size in batch_sizes if size % workload.group]:
        raise ValueError(
            f"study: batch sizes of {workload.name} must be multiples of {workload.group}, the examples that its batch "
            f"statistics are of, got {', '.join(map(str, odd))}; group_size=... (--group-size) sets them"
        )


def _rows(data: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((ROWS, *leaf.shape[1:]), leaf.dtype), data)


def shapes_of(owner: str, what: str, function: Callable, *args: Any) -> Any:
    """Shapes and dtypes of what a function returns, whose own errors become one line."""
    try:
        return jax.eval_shape(function, *args)
    except Exception as error:
        if str(error).startswith("from_arrays: "):  # one of our own, made while tracing
            raise
        raise ValueError(f"{owner}: {what} failed: {first_line(error)}") from error


def _check_whole_set(owner: str, workload: Workload, name: str, values: Any) -> None:
    """A metric that is accumulated over blocks: its state must stay what it is, so that it can be scanned."""
    metric, weights = workload.metrics[name], jax.ShapeDtypeStruct((ROWS,), jnp.float32)
    if workload.weights is not None:
        weights = jax.eval_shape(workload.weights, _rows(workload.eval_data))
    start = shapes_of(owner, f"init of {name}", metric.init)
    after = shapes_of(owner, f"accumulate of {name}", metric.accumulate, start, *values, weights)
    described = [[(leaf.shape, leaf.dtype.name) for leaf in jax.tree.leaves(tree)] for tree in (start, after)]
    if described[0] != described[1] or jax.tree.structure(start) != jax.tree.structure(after):
        raise ValueError(
            f"{owner}: accumulate of {name} must return a state like that of init, {told(start)}, got {told(after)}"
        )
    value = shapes_of(owner, f"finish of {name}", metric.finish, start)
    if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(
            f"{owner}: finish of {name} must return one floating-point number, got {told(value)}"
        )


def told(tree: Any) -> str:
    """Dtype and shape of each leaf."""
    return ", ".join(f"{leaf.dtype} {leaf.shape}" for leaf in jax.tree.leaves(tree)) or "nothing"


def _check_params(owner: str, params: Any) -> None:
    if not jax.tree.leaves(params):
        raise ValueError(f"{owner}: the model has no parameters: nothing could be trained")
    for path, leaf in jax.tree.leaves_with_path(params):
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):  # whose gradient is the conjugate of the way down
            name = jax.tree_util.keystr(path, simple=True, separator="/") or "the parameter"
            raise ValueError(
                f"{owner}: parameters must be real, {name} is {leaf.dtype}: let real and imaginary part be two parameters"
            )


def _check_micro_batch(owner: str, size: Any) -> None:
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"{owner}: micro_batch must be a whole number >= 1, got {size!r}")


def _check_per_example(owner: str, name: str, value: Any) -> None:
    if getattr(value, "shape", None) != (ROWS,):
        shape = getattr(value, "shape", type(value).__name__)
        raise ValueError(
            f"{owner}: {name} must return one value for each example, ({ROWS},) for {ROWS} of them, "
            f"got {shape}" + ("; return the values before their mean or sum" if shape == () else "")
        )
