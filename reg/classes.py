"""Log-probabilities of all classes from a loss that only tells that of the right one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from optim.arguments import explain_arguments, shown
from optim.range import Count
from optim.users_error import calling
from reg.applied import Applied, Key, LossFn, PyTree, Scalar, where_active


@explain_arguments
def num_classes(data: Any) -> int | None:
    """How many classes the labels `data["y"]`, whole numbers `[N]`, name; None for other targets."""
    labels = data.get("y") if isinstance(data, dict) else None
    if labels is None or np.ndim(labels) != 1 or np.asarray(labels).dtype.kind not in "iu":
        return None
    return int(np.max(labels)) + 1


@explain_arguments
def class_losses(
    loss_fn: LossFn, params: PyTree, batch: PyTree, key: Key, num_classes: int
) -> Float[Array, "classes m"]:
    """The cross entropy of each example, had it each of the labels: -log p_k(x).

    Only what depends on the label is mapped: the model runs once, whatever it is written in.

    Args:
      loss_fn: `(params, batch, key) -> [m]`, a cross entropy.
      params: what `loss_fn` takes.
      batch: `{"x", "y"}` of m examples, `y` whole numbers [m].
      key: of the step.
      num_classes: K >= 1; labels are 0, ..., K - 1.

    Returns:
      Losses [K, m].

    >>> loss = lambda params, batch, key: -jax.nn.log_softmax(params)[batch["y"]]
    >>> batch = {"x": jnp.zeros(1), "y": jnp.zeros(1, int)}
    >>> losses = class_losses(loss, jnp.log(jnp.array([1.0, 3.0])), batch, jax.random.key(0), 2)
    >>> print(jnp.exp(-losses).T.round(2))
    [[0.25 0.75]]
    """
    _check_batch("class_losses", batch)
    num_classes = Count().check("class_losses", "num_classes", num_classes)
    return calling(
        "class_losses: loss_fn(params, batch, key), with each label in batch['y'],",
        lambda: _of_each_label(loss_fn, params, batch, key, num_classes),
    )


def _of_each_label(loss_fn: LossFn, params: PyTree, batch: PyTree, key: Key, num_classes: int) -> jax.Array:
    def with_label(label):
        return loss_fn(params, {**batch, "y": jnp.full_like(batch["y"], label)}, key)

    return jax.vmap(with_label)(jnp.arange(num_classes))


def _check_batch(owner: str, batch: PyTree) -> None:
    if not (isinstance(batch, Mapping) and "y" in batch):
        raise ValueError(f"{owner}: batch must be a mapping with the labels y, got {shown(batch)}")


def of_class_losses(
    owner: str, strength: Scalar, change: Callable[[jax.Array, jax.Array], jax.Array]
) -> Applied:
    """A loss made of the cross entropy `[m]` and those of all classes `[classes, m]`; plain at strength 0.

    Raises:
      ValueError: when it is built, if the targets are no class labels.
    """

    def with_change(loss_fn, num_classes):
        if num_classes is None:
            raise ValueError(f"{owner}: needs one class label, a whole number, for each example")

        def loss(params, batch, key):
            losses = class_losses(loss_fn, params, batch, key, num_classes)
            right = jnp.arange(num_classes)[:, None] == batch["y"][None]
            return change(jnp.sum(jnp.where(right, losses, 0.0), axis=0), losses)

        return where_active(strength > 0, loss, loss_fn)

    return Applied(loss=with_change)


@explain_arguments
def check_cross_entropy(owner: str, loss_fn: LossFn, params: PyTree, batch: PyTree, num_classes: int) -> None:
    """Raises ValueError unless exp(-loss) sums to 1, within 1e-3, over the labels of every example of `batch`.

    Args:
      owner: who needs it, for the message.
      loss_fn, params, batch, num_classes: as in `class_losses`.

    Raises:
      ValueError: also where the loss cannot be computed.

    >>> square = lambda params, batch, key: (batch["x"] - batch["y"]) ** 2
    >>> check_cross_entropy("focal", square, None, {"x": jnp.zeros(1), "y": jnp.zeros(1, int)}, 2)
    Traceback (most recent call last):
    ValueError: focal: needs a cross-entropy loss; the probabilities of this one sum to 1.37
    """
    _check_batch(owner, batch)
    losses = calling(
        f"{owner}: loss_fn(params, batch, key), with each of the labels 0 to {num_classes - 1} in batch['y'],",
        jax.jit(lambda: _of_each_label(loss_fn, params, batch, jax.random.key(0), num_classes)),
    )
    total = np.exp(-np.asarray(losses, float)).sum(axis=0)
    if not np.allclose(total, 1.0, atol=1e-3):
        raise ValueError(
            f"{owner}: needs a cross-entropy loss; the probabilities of this one sum to {total[0]:.3g}"
        )
