"""An optimizer and a regularizer as one factory, built inside a lane from traced strengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import optax

import optim
import reg
from lr_batch.problem.workload import PyTree, Workload


class RegularizedOptimizer(NamedTuple):
    """`hparams -> transformation`: the regularizer takes its own of them, the optimizer the others."""

    optimizer: optim.Optimizer
    regularizer: reg.Regularizer

    def __call__(self, hparams: Mapping[str, Any]) -> optax.GradientTransformation:
        own = self.regularizer.hparams
        rest = {name: value for name, value in hparams.items() if name not in own}
        return reg.regularized(self.optimizer(rest), self.regularizer(self.strengths(hparams)))

    def strengths(self, hparams: Mapping[str, Any]) -> dict[str, Any]:
        """What the regularizer is built from: its own hyperparameters and the learning rate."""
        wanted = {*self.regularizer.hparams, "learning_rate"}
        return {name: value for name, value in hparams.items() if name in wanted}

    def loss(self, workload: Workload, hparams: Mapping[str, Any]) -> reg.LossFn:
        """The training loss as the regularizer changes it."""
        applied = self.regularizer(self.strengths(hparams))
        return applied.loss(workload.loss, reg.num_classes(workload.train_data))

    def eval_params(self, state: reg.RegularizedState, params: PyTree) -> PyTree:
        """Parameters to evaluate: the optimizer's average, then the regularizer's."""
        return self.regularizer.eval_params(state, self.optimizer.eval_params(state.optimizer, params))


def check_regularizer(regularizer: reg.Regularizer, optimizer: optim.Optimizer, workload: Workload) -> None:
    """Raises ValueError, in one line, where the three cannot work together.

    The training loss is traced once, on shapes, so that a layer or an image that the method needs is missed
    at once.
    """
    both = sorted(set(regularizer.hparams) & set(optimizer.hparams))
    if both:
        raise ValueError(
            f"study: {both[0]} is a hyperparameter of both {optimizer.name} and the regularizer "
            f"{regularizer.name}; take an optimizer without it"
        )
    classes = reg.num_classes(workload.train_data)
    loss = regularizer({"learning_rate": 0.1}).loss(workload.loss, classes)
    params = jax.eval_shape(workload.init, jax.random.key(0))
    rows = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape[1:]), leaf.dtype), workload.train_data
    )
    jax.eval_shape(loss, params, rows, jax.random.key(0))
    # Where they are missing, tracing the loss has raised already
    if regularizer.needs_classes and classes is not None:
        two = jax.tree.map(lambda leaf: leaf[:2], workload.train_data)
        start = jax.jit(workload.init)(jax.random.key(0))
        reg.check_cross_entropy(regularizer.name, workload.loss, start, two, classes)
