"""Real rows of a workload and its functions, each compiled for one size of batch and for single rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from lr_batch.compiled import compiled
from lr_batch.errors import StudyError
from lr_batch.lanes.batch_statistics import of_groups
from lr_batch.problem.column import read_rows
from lr_batch.problem.precision import BFLOAT16
from lr_batch.problem.whole_set import by_example, weighted_sum
from lr_batch.problem.workload import Key, PyTree, Workload, evenly_spaced, num_examples
from optim.users_error import first_line

ROWS = 64  # of a batch
# What such a batch may have of numbers: of larger examples, such as 224 x 224 x 3 pixels, it has `FEW`, since the
# activations of all lie in memory at once (ResNet-50: 190 MB of an example, and a trial's batches are of 32).
NUMBERS, FEW = 500_000, 8
NUDGE = 0.1  # of parameters, relative and absolute, away from zeros and other special points
# A quarter of the time to compile; what is computed may differ in the last bits.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
COARSE = 2e-2  # tolerance in 16-bit arithmetic
FINE = 1e-4


class OncePerShapes:
    """A function compiled quickly, once for the shapes of its arguments: it is called a few times.

    Products are of full precision: by default a GPU's round differently in batches of different sizes (TF32), which
    would look like examples that meet.
    """

    def __init__(self, function: Callable):
        self._jitted, self._programs = jax.jit(function), {}

    def __call__(self, *args: Any) -> Any:
        options = QUICKLY if jax.default_backend() == "cpu" else {}
        key = str(jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), args))
        if key not in self._programs:
            with jax.default_matmul_precision("float32"):
                self._programs[key] = compiled(self._jitted.lower(*args), options)
        return self._programs[key](*args)


class Probe:
    """What checks ask of a workload."""

    def __init__(self, workload: Workload):
        self.workload = workload
        self._compiled: dict[Callable, OncePerShapes] = {}
        self.keys = [jax.random.key(number) for number in (1, 2)]
        functions = (workload.init, of_groups(workload), workload.evaluate)
        self._init, self._loss, self._evaluate = map(OncePerShapes, functions)

    @cached_property
    def rows(self) -> int:
        """Of a batch."""
        of_an_example = sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(self.workload.train_data))
        return max(FEW, min(ROWS, NUMBERS // max(1, of_an_example)))

    def init(self, seed: int) -> PyTree:
        """Parameters before the first step, as a lane starts from them."""
        return self._called("init", self._init, jax.random.key(seed))

    @cached_property
    def params(self) -> tuple[PyTree, PyTree]:
        """Initial ones, and these moved a little at random."""
        initial = self.init(0)
        return initial, nudged(initial)

    def loss(self, params: PyTree, batch: PyTree, key: Key) -> Float[np.ndarray, " m"]:
        return np.asarray(self._called("loss", self._loss, params, batch, key), np.float64)

    def evaluate(self, params: PyTree, batch: PyTree) -> dict[str, Any]:
        """As the workload returns it; batch statistics are those before training."""
        statistics = self.workload.statistics
        fitted = self.workload.fitted(params, statistics.initial if statistics else ())
        return self._called("evaluate", self._evaluate, fitted, batch)

    def metrics(self, params: PyTree, batch: PyTree) -> dict[str, Float[np.ndarray, "n ..."]]:
        """Metrics of examples; of one of the whole set, all numbers of an example that it is computed from."""
        return {name: _numbers_of_examples(value) for name, value in self.evaluate(params, batch).items()}

    def once(self, function: Callable) -> OncePerShapes:
        """The function, compiled as those of the workload are."""
        return self._compiled.setdefault(function, OncePerShapes(function))

    def gradient(
        self, params: PyTree, batch: PyTree, counted: Bool[np.ndarray, " m"] | None = None
    ) -> PyTree:
        """Of the sum of weighted losses over the number of examples; those that are not `counted` have no weight.

        Not over the sum of the weights, which the rows beside an example change.
        """
        counted = np.ones(num_examples(batch), bool) if counted is None else counted
        return self._called("gradient of the loss", self._gradient, params, batch, self.keys[0], counted)

    @cached_property
    def _gradient(self) -> Callable:
        losses = of_groups(self.workload)

        def loss(params, batch, key, counted):
            weigh = self.workload.weights or (lambda batch: jnp.ones(len(counted)))
            weights = jnp.where(counted, by_example(weigh(batch)), 0.0)
            return weighted_sum(losses(params, batch, key), weights) / len(counted)

        return OncePerShapes(jax.grad(loss))

    @cached_property
    def tolerance(self) -> float:
        """Relative: what rounding may change, at the precision of parameters and data."""
        leaves = jax.tree.leaves((self.params, self.workload.train_data))
        floats = [leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
        rounded = getattr(self.workload.loss, "precision", None) == BFLOAT16
        return COARSE if rounded or any(dtype.itemsize < 4 for dtype in floats) else FINE

    def _called(self, what: str, function: Callable, *args: Any) -> Any:
        try:
            return jax.device_get(function(*args))
        except Exception as error:
            raise StudyError(
                f"{self.workload.name}: the {what} cannot be computed: {first_line(error)}"
            ) from error


def _numbers_of_examples(value: PyTree) -> Float[np.ndarray, "n ..."]:
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(value)]
    if len(leaves) == 1 and leaves[0].ndim == 1:
        return leaves[0]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def nudged(params: PyTree) -> PyTree:
    """Parameters moved at random, the same way every time."""
    rng = np.random.default_rng(0)

    def nudge(leaf):
        moved = leaf.astype(np.float32) * (1 + NUDGE * rng.normal(size=leaf.shape))
        return moved + NUDGE * rng.normal(size=leaf.shape)

    return each_float(nudge, jax.device_get(params))


def each_float(change: Callable[[np.ndarray], Any], tree: PyTree) -> PyTree:
    """Changes the leaves that hold floats, which keep their dtypes."""
    is_float = lambda leaf: jnp.issubdtype(leaf.dtype, jnp.floating)
    return jax.tree.map(lambda leaf: change(leaf).astype(leaf.dtype) if is_float(leaf) else leaf, tree)


def name_of(path: tuple) -> str:
    """Of a leaf of the parameters."""
    return jax.tree_util.keystr(path, simple=True, separator="/") or "the parameters"


def take(data: PyTree, rows: Int[np.ndarray, " m"]) -> PyTree:
    """The rows of a data set."""
    return read_rows(data, rows)


def spread(data: PyTree, count: int) -> Int[np.ndarray, " m"]:
    """At most `count` row numbers, evenly over the data."""
    return evenly_spaced(num_examples(data), count)


def blocks(rows: Int[np.ndarray, " n"], size: int) -> Iterator[Int[np.ndarray, " size"]]:
    """Rows in portions of one size; the last one repeats its last row."""
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        yield np.concatenate([part, np.repeat(part[-1:], size - len(part))])
