"""A user's model and arrays become a workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lr_batch.errors import first_line
from lr_batch.problem.arrays import check_rows_alike, checked_data
from lr_batch.problem.calling_convention import Model, refuse_silent_dropout
from lr_batch.problem.goal import parse_goal
from lr_batch.problem.metrics import PerExample, checked_metrics, with_error
from lr_batch.problem.model import as_model
from lr_batch.problem.shapes import ROWS, check_shapes
from lr_batch.problem.workload import Goal, Workload
from optim.arguments import explain_arguments


@explain_arguments
def from_arrays(
    model: Any,
    *,
    train: tuple[Any, Any],
    held_out: tuple[Any, Any],
    loss: PerExample,
    goal: Goal | str,
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
        own parameters, a function `rngs -> nnx module` from fresh ones. Whoever
        takes `train`, `training`, `deterministic` or another of their usual names
        is told whether it trains; an nnx module is also put into `train()` or
        `eval()`. Random streams are seeded from the key of the step; an `apply` that
        takes `key` or `rng` gets it in training and None in evaluation. Variables
        beside the parameters are constants, those of key 0 for all seeds; a call that
        changes them is refused.
      train: inputs `[N, ...]` and targets `[N, ...]` to train on.
      held_out: the same to evaluate the goal on.
      loss: `(outputs, y) -> [m]`, one value for each example, such as
        `optax.softmax_cross_entropy_with_integer_labels`.
      goal: metric and threshold, as a `Goal` or like "loss<0.2". Metrics are "loss", those
        of `metrics`, and "error" where targets are integers and the outputs one array: the
        share of wrong `argmax(outputs)`, or with one output the share of examples that
        have the higher of the two labels' losses.
      name: of the workload in the store and the figures.
      metrics: name -> `(outputs, y) -> [n]`, beside "loss" and "error"; what is compared
        with the goal is the mean over held-out examples.
      budget: limit on the optimizer steps of one trial, >= 1.
      batch_sizes: default batch sizes; powers of 2 up to 1,024 and the number of
        training examples where None.
      micro_batch: most examples differentiated at once, >= 1.
      lanes: "vmap", "blocks", "map" or "auto"; see `Workload`.

    Raises:
      ValueError: on any mistake that shapes reveal, in one line, before anything
        is compiled.

    >>> import optax
    >>> import numpy as np
    >>> x, y = np.eye(4, dtype=np.float32), np.arange(4)
    >>> model = (lambda key: jnp.zeros((4, 4)), lambda params, x: x @ params)
    >>> loss = optax.softmax_cross_entropy_with_integer_labels
    >>> from_arrays(model, train=(x, y), held_out=(x, y), loss=loss, goal=Goal("error", 0.5)).batch_sizes
    (1, 2, 4)
    """
    train_data, eval_data = checked_data("train", train), checked_data("held_out", held_out)
    check_rows_alike(train_data, eval_data)
    goal, rows = parse_goal(goal), jnp.asarray(train_data["x"][:ROWS])
    as_pure = _model(model, rows)
    first = jnp.asarray(
        train_data["x"][:1]
    )  # cut here: a slice that is traced would be part of every program
    all_metrics = {"loss": loss, **checked_metrics(metrics)}
    workload = Workload(
        name=name,
        init=lambda key: as_pure.init(key, first),
        loss=lambda params, batch, key: loss(as_pure.apply(params, batch["x"], key), batch["y"]),
        evaluate=_evaluate(as_pure, with_error(all_metrics, train_data["y"])),
        train_data=train_data,
        eval_data=eval_data,
        goal=goal,
        budget=budget,
        batch_sizes=_batch_sizes(batch_sizes, len(train_data["y"])),
        micro_batch=micro_batch,
        lanes=lanes,
    )
    check_shapes("from_arrays", workload, goal)
    refuse_silent_dropout(as_pure, jax.eval_shape(workload.init, jax.random.key(0)), rows)
    return workload


def _model(model: Any, rows: Any) -> Model:
    """The model in one form; what its own code raises becomes one line."""
    try:
        return as_model(model, rows)
    except Exception as error:
        if str(error).startswith("from_arrays: "):
            raise
        raise ValueError(f"from_arrays: the model failed: {first_line(error)}") from error


def _evaluate(model: Model, metrics: Callable[[Any, jax.Array], Mapping[str, PerExample]]):
    def evaluate(params, batch):
        outputs, y = model.apply(params, batch["x"], None), batch["y"]
        return {name: metric(outputs, y) for name, metric in metrics(outputs, y).items()}

    return evaluate


def _batch_sizes(batch_sizes: Sequence[int] | None, examples: int) -> tuple[int, ...]:
    if batch_sizes is None:
        return tuple(2**i for i in range(11) if 2**i <= examples)
    return tuple(batch_sizes)
