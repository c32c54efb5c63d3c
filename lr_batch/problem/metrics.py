"""The held-out metrics of a user's model: the loss, the user's own, and those that fit targets and outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.problem.column import Column
from lr_batch.problem.weights import WEIGHTS, in_parts, of_examples
from lr_batch.problem.whole_set import PERPLEXITY, RMSE, Metric, average_precision, r2

PerExample = Callable[[Any, jax.Array], jax.Array]

# These names stand for what is not a mean over examples, and so for no function of one example.
NO_MEANS = {
    "perplexity": "the mean of exp(loss) is not exp(mean loss)",
    "ppl": "the mean of exp(loss) is not exp(mean loss); that is 'perplexity'",
    "rmse": "the mean of roots is not the root of the mean",
    "f1": "it is a ratio of counts over all examples",
    "auc": "it compares all pairs of examples",
    "auroc": "it compares all pairs of examples",
    "auprc": "it ranks all examples",
    "r2": "it divides by the variance over all examples",
    "rmsle": "the mean of roots is not the root of the mean",
    "gini": "it ranks all examples",
    "mcc": "it is computed from counts over all examples",
    "kappa": "it is computed from counts over all examples",
    "balanced": "it is a mean over classes, each over its own examples",
    "pearson": "it divides by the spreads over all examples",
    "spearman": "it ranks all examples",
}
SOME = 1_024  # rows of targets that are looked at where they are streamed
TRIPLE = "a triple (init, accumulate, finish), see lr_batch.Metric"


def checked_metrics(metrics: Any) -> dict[str, PerExample | Metric]:
    """Functions by name, and metrics of the whole set.

    Raises:
      ValueError: if it is anything else, or the name of a function stands for what is not a mean over examples.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise ValueError(
            f"from_arrays: metrics must map names to functions (outputs, y) -> [n], got {metrics!r}"
        )
    return {str(name): _checked(str(name), metric) for name, metric in metrics.items()}


def _checked(name: str, metric: Any) -> Any:
    if isinstance(metric, tuple) and len(metric) == 3 and all(map(callable, metric)):
        return Metric(*metric)
    if not callable(metric):
        raise ValueError(
            "from_arrays: metrics must map names to functions (outputs, y) -> [n], or to "
            f"{TRIPLE}; {name} is {metric!r}"
        )
    words = re.split(r"[\W_]+", name.lower())  # roc_auc, f1_macro, val_perplexity
    why = next((NO_MEANS[word] for word in words if word in NO_MEANS), None)
    if why and "log" not in words:  # a mean of logarithms is one
        raise ValueError(
            f"from_arrays: a function is averaged over examples, which {name} is not: {why}; give {TRIPLE}"
        )
    return metric


def fitting_metrics(
    loss: PerExample, outputs: Any, train: Mapping[str, Any], held_out: Mapping[str, np.ndarray]
) -> dict[str, PerExample | Metric]:
    """Those that targets and outputs make sense of, by name.

    Args:
      loss: of the problem.
      outputs: of the model for a few rows, or their shapes.
      train, held_out: the data.
    """
    y, parts = held_out["y"], in_parts(held_out)
    if are_labels(y) and _has_classes(outputs, y):
        return {"error": wrong, "perplexity": PERPLEXITY}
    found: dict[str, PerExample | Metric] = {}
    if getattr(outputs, "shape", (0, None))[1:] not in (y.shape[1:], (*y.shape[1:], 1)):
        return found
    columns, pair = int(np.prod(y.shape[1:])), two_labels(_some(train["y"]))
    if pair and (columns == 1 or (parts and held_out[WEIGHTS].shape == y.shape)):
        found["error"] = wrong_of_two(loss, pair)
    if pair_of(y) and (y == 1).any():
        found["average_precision"] = average_precision(len(y), columns)
    if not pair:
        found["rmse"] = RMSE
    if not pair and not parts and _varies(held_out):
        found["r2"] = r2(columns)
    return found


def evaluated(
    metrics: Mapping[str, PerExample | Metric], outputs: Any, batch: Mapping[str, Any]
) -> dict[str, Any]:
    """What `Workload.evaluate` returns for a batch."""
    y, values = batch["y"], {}
    for name, metric in metrics.items():
        if metric is PERPLEXITY:
            values[name] = (of_examples("loss", metrics["loss"](outputs, y), batch),)
        elif isinstance(metric, Metric):
            values[name] = (outputs, y)
        else:
            metric = wrong_share if metric is wrong and not in_parts(batch) else metric
            values[name] = of_examples(name, metric(outputs, y), batch)
    return values


def pair_of(targets: Any) -> tuple[int, int] | None:
    """The two labels that a binary problem's targets are, of whatever kind of number."""
    pairs = ((0, 1), (-1, 1))
    return next((pair for pair in pairs if np.isin(targets, pair).all()), None)


def _some(targets: Any) -> Any:
    """All of them, or some of those that are read when they are asked for."""
    return targets[:SOME] if isinstance(targets, Column) else targets


def two_labels(targets: Any) -> tuple[int, int] | None:
    """The two labels of a binary problem, 0 and 1 where all are 1; None where the targets are no such labels."""
    return pair_of(targets) if targets.dtype.kind in "iub" else None


def wrong(outputs: Any, y: Any) -> jax.Array:
    """1 where `argmax(outputs)` is wrong, else 0; outputs `[n, ..., classes]`, y `[n, ...]`."""
    return (jnp.argmax(outputs, axis=-1) != y).astype(jnp.float32)


def wrong_share(outputs: Any, y: Any) -> jax.Array:
    """Share of wrong `argmax(outputs)` in each example, `[n]`."""
    each = wrong(outputs, y)
    return each.reshape(each.shape[0], -1).mean(axis=1)


def wrong_of_two(loss: PerExample, labels: tuple[int, int]) -> PerExample:
    """1 for examples of which the other label has the lower loss, else 0.

    So it does not matter whether the model returns a logit (threshold 0) or a probability (threshold 1/2).
    """

    def wrong(outputs, y):
        low, high = (loss(outputs, jnp.full_like(y, label)) for label in labels)
        return ((high < low) != (y.reshape(low.shape) == labels[1])).astype(jnp.float32)

    return wrong


def _has_classes(outputs: Any, y: jax.Array | np.ndarray) -> bool:
    shape = tuple(getattr(outputs, "shape", ()))
    return len(shape) == y.ndim + 1 and shape[1:-1] == y.shape[1:] and shape[-1:] > (1,)


def _varies(data: Mapping[str, np.ndarray]) -> bool:
    """Whether every column of the targets that count does: by its variance is divided."""
    rows = data["y"][data[WEIGHTS] > 0] if WEIGHTS in data else data["y"]
    return bool((rows.max(axis=0) > rows.min(axis=0)).all())


def are_labels(y: jax.Array | np.ndarray) -> bool:
    return jnp.issubdtype(y.dtype, jnp.integer) or y.dtype == jnp.bool_
