"""State beside the parameters: running averages of batch statistics, kept by us and not by the model.

A model in training normalises by the moments of the examples that it is given, its *group*, and returns its running
averages moved towards them, a <- k a + (1 - k) x. From what it returns x is recovered: k is measured once. Sums of x
over the groups of a batch add up over micro-batches like gradients, and the averages are moved once a step, towards the
moments of the whole batch: the mean of the groups' means, and for a variance that of the pooled groups, mean of variances
plus variance of means (as `google/init2winit` does). So nothing depends on the micro-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lr_batch.problem.depends import batched_leaves, depends_on
from lr_batch.problem.trees import Key, PyTree

GROUP = 32  # examples, as in Shallue et al. (2019)
AVERAGED, RECOMPUTED = "averaged", "recomputed"
MODES = (AVERAGED, RECOMPUTED)
SAMPLE = 1_024  # training examples from which averages are recomputed
TOLERANCE, LEAST = 1e-3, 1e-5  # of k as it is measured, and of 1 - k
NAMED = {"var": "mean", "variance": "mean"}  # a variance, and its mean beside it

AnyArray = Any  # of NumPy, or of JAX
Averages = Mapping[str, Float[AnyArray, "..."]]  # by the path of each in the model's state


class Statistics(NamedTuple):
    """What evaluation needs of a model beside its parameters.

    Attributes:
      group: examples that are normalised together, >= 1: batches are cut into groups of neighbours.
      initial: averages before the first step, the same for all seeds.
      train: `(params, averages, batch, key) -> (losses, averages)` of one group: the training loss of its examples, and
        the averages as the model moves them.
      shares: 1 - k of each of them; 0 where it never moves.
      mode: "averaged" for running averages, "recomputed" for the moments of a fixed sample of training examples at
        each evaluation.
    """

    group: int
    initial: Averages
    train: Callable[[PyTree, Averages, PyTree, Key], tuple[Float[AnyArray, " group"], Averages]]
    shares: Mapping[str, float]
    mode: str = AVERAGED

    def mean_of(self, name: str) -> str | None:
        """The mean that belongs to a variance; None for all else."""
        head, _, last = name.rpartition("/")
        mean = f"{head}/{NAMED[last]}" if last in NAMED else None
        return mean if mean in self.initial else None


def by_path(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by their paths."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def with_leaves(tree: PyTree, leaves: Mapping[str, Any]) -> PyTree:
    """The tree with other leaves at some paths."""
    names = list(by_path(tree))
    kept = [leaves.get(name, leaf) for name, leaf in zip(names, jax.tree.leaves(tree), strict=True)]
    return jax.tree.unflatten(jax.tree.structure(tree), kept)


def leaves_made_of(argument: PyTree, state: Callable, *others: PyTree) -> set[str]:
    """Paths of the leaves of `state(argument, *others)` that depend on the argument."""
    two = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), argument)
    axes = (0, *(None for _ in others))
    return {name for name, depends in by_path(batched_leaves(state, axes, (two, *others))).items() if depends}


def shares_of(after: Callable[..., Averages], initial: Averages, *others: PyTree) -> dict[str, float]:
    """1 - k of each average, measured: `after` is called with the averages moved by one and by two units.

    Args:
      after: `(averages, *others) -> averages`.
      initial: averages to begin with.
      others: what else it takes, such as parameters: as constants of the program they would take minutes to fold.

    Raises:
      ValueError: where what is returned is no running average a <- k a + (1 - k) x with 0 <= k < 1.
    """
    for name, leaf in initial.items():
        if not jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating):
            raise _no_average(name)
    compiled = jax.jit(after)
    returned = jax.device_get(compiled(initial, *others))
    unit = {name: np.float32(1 + np.abs(leaf).max()) for name, leaf in returned.items()}
    by_units = lambda n: {name: np.asarray(leaf) + n * unit[name] for name, leaf in initial.items()}
    moved = [jax.device_get(compiled(by_units(n), *others)) for n in (1, 2)]
    shares = {}
    for name in initial:
        kept = [
            (moved[0][name] - returned[name]) / unit[name],
            (moved[1][name] - moved[0][name]) / unit[name],
        ]
        k = float(np.mean(kept))
        if np.abs(np.array(kept) - k).max() > TOLERANCE or not -TOLERANCE < k < 1 - LEAST:
            raise _no_average(name)
        shares[name] = 1 - max(k, 0.0)
    return shares


def _no_average(name: str) -> ValueError:
    return ValueError(
        f"from_arrays: the model changes state besides its parameters ({name}) that is no running average "
        "a <- k a + (1 - k) x of its batches, with 0 <= k < 1; use batch normalization, or a layer without state"
    )


NOT_READ = (
    "from_arrays: the model does not read its running averages in evaluation; let it take train (or another usual name), "
    "normalise by the batch while it trains, and by its averages otherwise"
)


def refuse_averages_in_training(outputs: Callable[[Averages], Any], initial: Averages) -> None:
    """Training outputs must come from the batch alone: the averages of a step are moved after it."""
    if depends_on(outputs, initial):
        raise ValueError(
            "from_arrays: the model reads its running averages while it trains; only statistics of the batch itself "
            "can be added up over micro-batches: let it normalise by the batch in training"
        )


def refuse_batch_in_evaluation(outputs: Callable[[Averages], Any], initial: Averages) -> None:
    """A model that is not told whether it trains would be evaluated by the moments of whatever rows come together."""
    if not depends_on(outputs, initial):
        raise ValueError(NOT_READ)
