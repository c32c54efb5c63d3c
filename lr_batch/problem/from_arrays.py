"""A user's model and arrays become a workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.problem.arrays import check_rows_alike, checked_data
from lr_batch.problem.augmentation import Augmentation, augmented
from lr_batch.problem.calling_convention import Model, refuse_silent_dropout
from lr_batch.problem.column import Column
from lr_batch.problem.goal import parse_goal
from lr_batch.problem.groups import check_mode, checked_group
from lr_batch.problem.metrics import PerExample, checked_metrics, evaluated, fitting_metrics
from lr_batch.problem.model import as_model
from lr_batch.problem.shapes import ROWS, check_shapes, shapes_of, told
from lr_batch.problem.statistics import AVERAGED, GROUP, Statistics
from lr_batch.problem.weights import WEIGHTS, of_examples, with_weights
from lr_batch.problem.whole_set import Metric
from lr_batch.problem.workload import Goal, Workload
from optim.arguments import explain_arguments
from optim.users_error import first_line

LARGEST = 1_024  # batch size by default


@explain_arguments
def from_arrays(
    model: Any,
    *,
    train: tuple[Any, Any],
    held_out: tuple[Any, Any],
    loss: PerExample,
    goal: Goal | str,
    name: str = "from_arrays",
    metrics: Mapping[str, PerExample | Metric | tuple] | None = None,
    weights: tuple[Any, Any] | None = None,
    budget: int = 10_000,
    batch_sizes: Sequence[int] | None = None,
    micro_batch: int = 1_024,
    lanes: str = "auto",
    group_size: int | None = None,
    statistics: str = AVERAGED,
    augment: Augmentation | str | None = None,
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
        beside the parameters are constants, those of key 0 for all seeds, but for running
        averages of batch statistics (`batch_stats`, `BatchStat`), which are kept up; other
        state that a call changes is refused. A pair with such state is `init(key) -> (params,
        state)` and `apply(params, state, x, train) -> (outputs, state)`.
      train: inputs `[N, ...]` and targets `[N, ...]` to train on: arrays, or columns of `lr_batch.records`, which
        are read while they are trained on.
      held_out: the same to evaluate the goal on.
      loss: `(outputs, y) -> [m]`, one value for each example, such as
        `optax.softmax_cross_entropy_with_integer_labels`; where the parts of an example have
        weights of their own, one for each of them.
      goal: metric and threshold, as a `Goal` or like "loss<0.2", "r2>0.8". Metrics are "loss",
        those of `metrics`, and where the outputs are one array: for integer targets with
        several outputs "error", the share of wrong `argmax(outputs)`, and "perplexity",
        exp(mean loss); for targets of two labels with one output "error", the share of
        examples that have the higher of the two labels' losses, and "average_precision" (of
        several such targets pooled, "micro"); for other numbers "rmse" and "r2".
      name: of the workload in the store and the figures.
      metrics: name -> `(outputs, y) -> [n]`, of which the goal is compared with the mean over
        held-out examples, or a triple `(init, accumulate, finish)` for what is no mean, such
        as F1; see `lr_batch.Metric`.
      weights: a pair, of train and of held_out, `[N]` for examples or `[N, T]` for the parts of
        their targets, such as tokens: a mask leaves padding out. None of one of them stands
        for equal weights. Losses and metrics become weighted means; a batch counts by the
        weights of all its examples, one without any has loss and gradient 0.
      budget: limit on the optimizer steps of one trial, >= 1.
      batch_sizes: default batch sizes; powers of 2 up to 1,024 and the number of
        training examples where None.
      micro_batch: most examples differentiated at once, >= 1.
      lanes: "vmap", "blocks", "map" or "auto"; see `Workload`.
      group_size: of a model with batch statistics, examples that are normalised together ("ghost
        batch normalization"), >= 1; 32 where None, as published. Batch sizes are multiples of it.
      statistics: what such a model is evaluated with: "averaged", its running averages, moved
        once a step by the moments of the whole batch, or "recomputed", the moments of 1,024
        training examples at each evaluation. See `lr_batch.problem.statistics`.
      augment: what happens to inputs in training that are pictures [height, width, channels]: "crop:4" (of the picture
        in a frame of 4 zeros), "flip", "resized_crop" (8 % to all of it), or several, "crop:4,flip"; or an
        `lr_batch.Augmentation`. On the host, by draws that are a function of seed, epoch and example; training then
        needs the extra "stream". What is held out stays as it is.

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
    train_data, eval_data = checked_data("train", train), checked_data("held_out", _in_memory(held_out))
    check_rows_alike(train_data, eval_data)
    train_data, eval_data = with_weights(_held(weights), train_data, eval_data)
    goal, rows = parse_goal(goal), jnp.asarray(train_data["x"][:ROWS])
    as_pure, own = _model(model, rows), checked_metrics(metrics)
    # Cut here: a slice that is traced would be part of every program
    first = jnp.asarray(train_data["x"][:1])
    params = shapes_of("from_arrays", "the model's init", as_pure.init, jax.random.key(0), first)
    outputs = shapes_of("from_arrays", "the model", lambda params: as_pure.apply(params, rows, None), params)
    _try_out({"loss": loss, **own}, outputs, train_data["y"][: len(rows)])
    all_metrics = {**fitting_metrics(loss, outputs, train_data, eval_data), "loss": loss, **own}
    group = _group(as_pure, group_size, statistics, len(train_data["y"]), micro_batch)
    workload = Workload(
        name=name,
        init=lambda key: as_pure.init(key, first),
        loss=_loss(as_pure, loss),
        evaluate=_evaluate(as_pure, all_metrics),
        train_data=train_data,
        eval_data=eval_data,
        goal=goal,
        budget=budget,
        batch_sizes=_batch_sizes(batch_sizes, len(train_data["y"]), group),
        micro_batch=micro_batch,
        lanes=lanes,
        weights=None if weights is None else _weights,
        metrics={name: metric for name, metric in all_metrics.items() if isinstance(metric, Metric)},
        statistics=_statistics(as_pure, loss, group, statistics),
    )
    check_shapes("from_arrays", workload, goal)
    refuse_silent_dropout(as_pure, params, rows)
    return augmented("from_arrays", workload, augment)


def _in_memory(pair: Any) -> Any:
    """Held-out columns as arrays: an evaluation reads any of them."""
    if not isinstance(pair, tuple | list):
        return pair
    return tuple(np.asarray(part) if isinstance(part, Column) else part for part in pair)


def _held(weights: Any) -> Any:
    """Weights of what is held out as an array, where they are a column."""
    if not (isinstance(weights, tuple | list) and len(weights) == 2 and isinstance(weights[1], Column)):
        return weights
    return weights[0], np.asarray(weights[1])


def _model(model: Any, rows: Any) -> Model:
    """The model in one form; what its own code raises becomes one line."""
    try:
        return as_model(model, rows)
    except Exception as error:
        if str(error).startswith("from_arrays: "):
            raise
        raise ValueError(f"from_arrays: the model failed: {first_line(error)}") from error


def _try_out(functions: Mapping[str, Any], outputs: Any, y: Any) -> None:
    """Calls the loss and metrics of examples by themselves, so that what they fail with is said with their arguments."""
    targets = jax.ShapeDtypeStruct(y.shape, y.dtype)
    for name, function in functions.items():
        if not isinstance(function, Metric):
            what = f"{name} of outputs {told(outputs)} and targets {told(targets)}"
            shapes_of("from_arrays", what, function, outputs, targets)


def _loss(model: Model, loss: PerExample) -> Callable:
    values = lambda params, batch, key: loss(model.apply(params, batch["x"], key), batch["y"])
    return lambda params, batch, key: of_examples("loss", values(params, batch, key), batch)


def _evaluate(model: Model, metrics: Mapping[str, PerExample | Metric]) -> Callable:
    def evaluate(params, batch):  # its name is part of the program, whose hash identifies a study
        if model.moving:
            outputs = model.moving.evaluate(params.params, params.averages, batch["x"])
        else:
            outputs = model.apply(params, batch["x"], None)
        return evaluated(metrics, outputs, batch)

    return evaluate


def _group(model: Model, group: int | None, mode: str, examples: int, micro_batch: int) -> int:
    """Examples that are computed together."""
    check_mode("from_arrays", mode)
    if not model.moving:
        if group is not None or mode != AVERAGED:
            raise ValueError(
                "from_arrays: group_size and statistics are of batch statistics, of which the model keeps none"
            )
        return 1
    return checked_group("from_arrays", GROUP if group is None else group, examples, micro_batch)


def _statistics(model: Model, loss: PerExample, group: int, mode: str) -> Statistics | None:
    if not (moving := model.moving):
        return None

    def train(params, averages, batch, key):
        outputs, averages = moving.train(params, averages, batch["x"], key)
        return of_examples("loss", loss(outputs, batch["y"]), batch), averages

    return Statistics(group, moving.initial, train, moving.shares, mode)


def _weights(batch):
    return batch[WEIGHTS]


def _batch_sizes(batch_sizes: Sequence[int] | None, examples: int, group: int) -> tuple[int, ...]:
    if batch_sizes is None:
        sizes = (group * 2**i for i in range(11))
        return tuple(size for size in sizes if size <= min(examples, max(LARGEST, group)))
    return tuple(batch_sizes)
