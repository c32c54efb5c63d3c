"""Metrics of single examples, of which a workload takes the mean over its held-out ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PerExample = Callable[[Any, jax.Array], jax.Array]

# These names stand for what is not a mean over examples; what to ask for instead.
NO_MEANS = {
    "perplexity": "the mean of exp(loss) is not exp(mean loss): take the goal loss < log(perplexity)",
    "ppl": "the mean of exp(loss) is not exp(mean loss): take the goal loss < log(perplexity)",
    "rmse": "the mean of roots is not the root of the mean: take the squared error and the squared threshold",
    "f1": "it is a ratio of counts over all examples: take the error or the loss",
    "auc": "it compares all pairs of examples: take the error or the loss",
    "auroc": "it compares all pairs of examples: take the error or the loss",
    "auprc": "it ranks all examples: take the error or the loss",
    "r2": "it divides by the variance over all examples: take the squared error",
}


def checked_metrics(metrics: Any) -> Mapping[str, PerExample]:
    """Functions by name.

    Raises:
      ValueError: if it is anything else, or a name stands for what is not a mean over examples.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping) or not all(map(callable, metrics.values())):
        raise ValueError(
            f"from_arrays: metrics must map names to functions (outputs, y) -> [n], got {metrics!r}"
        )
    for name in metrics:
        words = re.split(r"[\W_]+", str(name).lower())  # roc_auc, f1_macro, val_perplexity
        why = next((NO_MEANS[word] for word in words if word in NO_MEANS), None)
        if why and "log" not in words:  # a mean of logarithms is one
            raise ValueError(f"from_arrays: a metric is the mean over examples, which {name} is not: {why}")
    return metrics


def with_error(
    metrics: Mapping[str, PerExample], targets: np.ndarray
) -> Callable[[Any, jax.Array], Mapping[str, PerExample]]:
    """`(outputs, y) -> metrics`, with "error" where targets are labels that the outputs can be compared with."""
    pair = two_labels(targets)

    def named(outputs, y):
        if not hasattr(outputs, "shape") or not _are_labels(y):
            return metrics
        if outputs.ndim == y.ndim + 1 and outputs.shape[:-1] == y.shape and outputs.shape[-1] > 1:
            return {"error": wrong_share, **metrics}
        one_output = outputs.shape in (y.shape, (*y.shape, 1))
        return {"error": wrong_of_two(metrics["loss"], pair), **metrics} if one_output and pair else metrics

    return named


def two_labels(targets: np.ndarray) -> tuple[int, int] | None:
    """The two labels of a binary problem, or None: one label alone may be either."""
    distinct = set(np.unique(targets).tolist()) if targets.dtype.kind in "iub" else {None}
    return next((pair for pair in ((0, 1), (-1, 1)) if distinct <= set(pair)), None)


def wrong_share(outputs: Any, y: Any) -> jax.Array:
    """Share of wrong `argmax(outputs)` in each example, `[n]`; outputs `[n, ..., classes]`, y `[n, ...]`."""
    wrong = (jnp.argmax(outputs, axis=-1) != y).astype(jnp.float32)
    return wrong.reshape(wrong.shape[0], -1).mean(axis=1)


def wrong_of_two(loss: PerExample, labels: tuple[int, int]) -> PerExample:
    """1 for examples of which the other label has the lower loss, else 0.

    So it does not matter whether the model returns a logit (threshold 0) or a probability (threshold 1/2).
    """

    def wrong(outputs, y):
        low, high = (loss(outputs, jnp.full_like(y, label)) for label in labels)
        return ((high < low) != (y.reshape(len(y), -1)[:, 0] == labels[1])).astype(jnp.float32)

    return wrong


def _are_labels(y: jax.Array | np.ndarray) -> bool:
    return jnp.issubdtype(y.dtype, jnp.integer) or y.dtype == jnp.bool_
