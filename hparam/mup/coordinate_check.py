"""How much the first steps of training move each layer's output, against the width.

The coordinate check of Yang et al. (2022, appendix D.1).

Under a parameterization with a limit of infinite width, the outputs of every layer
and what training changes of them have entries whose size does not depend on the
width. An exponent of the width that is not near zero names the layer whose rule is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Float

from lr_batch import Workload
from optim import Optimizer

PyTree = Any
Key = jax.Array

NUM_STEPS = 4
BATCH_SIZE = 64


class CoordinateCheck(NamedTuple):
    """Mean sizes of the entries of each layer's output on held-out examples, over examples and seeds.

    Attributes:
      widths: of the networks.
      layers: names of the modules.
      size: mean |x_t| after t steps.
      change: mean |x_t - x_0|.
    """

    widths: tuple[int, ...]
    layers: tuple[str, ...]
    size: Float[np.ndarray, "layers widths steps"]
    change: Float[np.ndarray, "layers widths steps"]

    def exponents(self, what: str = "change", step: int = -1) -> dict[str, float]:
        """b in size ~ width^b for each layer; infinite where a size is not finite."""
        values = getattr(self, what)[:, :, step]
        return {layer: exponent(self.widths, row) for layer, row in zip(self.layers, values, strict=True)}

    def growing(self, tolerance: float = 0.35) -> tuple[str, ...]:
        """Layers that training changes more, or less, with the width, or that get larger.

        Wrong rules have exponents of 1/2 or more in the limit; the default leaves room for networks that
        are far from it. Sizes may fall: a readout that starts small is right. Changes must stay, at every
        step. Where output weights start at zero the first step moves nothing before them, at any width,
        and their rule shows at the first step, that of the other layers at the second.
        """
        steps = range(1, self.change.shape[2])
        changes = [self.exponents("change", step) for step in steps]
        size = self.exponents("size")
        return tuple(
            layer
            for layer in self.layers
            if max(size[layer], *(abs(change[layer]) for change in changes)) > tolerance
        )


def coordinate_check(
    members: Mapping[int, tuple[Workload, Optimizer]],
    hparams: Mapping[str, float],
    *,
    num_steps: int = NUM_STEPS,
    batch_size: int = BATCH_SIZE,
    seeds: int = 2,
) -> CoordinateCheck:
    """Trains each network for a few steps on one batch and watches its layers.

    Args:
      members: width -> (workload, optimizer); models must be Flax linen modules.
      hparams: of the optimizer, the same for all widths.
      num_steps: of training, at least 1.
      batch_size: examples trained on, and at most that many held-out ones watched.
      seeds: initializations.

    Raises:
      ValueError: a model is not made of Flax linen modules, so that its layers cannot be told apart.
    """
    for workload, _ in members.values():
        if not layers_of(workload):
            raise ValueError(
                f"coordinate_check: the model of {workload.name} is not made of Flax linen modules, so that its "
                "layers cannot be watched; write it as flax.linen.Module"
            )
    found = {
        width: watched(workload, optimizer(hparams), num_steps, batch_size, seeds)
        for width, (workload, optimizer) in members.items()
    }
    layers = tuple(next(iter(found.values())))
    measured = np.array([[found[width][layer] for width in found] for layer in layers])
    return CoordinateCheck(tuple(found), layers, measured[:, :, 0], measured[:, :, 1])


def watched(
    workload: Workload, tx: optax.GradientTransformation, num_steps: int, batch_size: int, seeds: int
) -> dict[str, Float[np.ndarray, "2 steps"]]:
    """Mean |x_t| and mean |x_t - x_0| of every layer before training and after each step."""
    probe = jax.tree.map(lambda leaf: jnp.asarray(leaf[:batch_size]), workload.eval_data)

    def one(key):
        start = workload.init(key)
        before = outputs_of_layers(workload, start, probe)

        def sizes(params):
            now = outputs_of_layers(workload, params, probe)
            return {
                name: jnp.stack([mean_abs(now[name]), mean_abs(now[name] - before[name])]) for name in now
            }

        return jax.lax.map(sizes, path_of(workload, tx, start, key, num_steps, batch_size))

    keys = jax.random.split(jax.random.key(0), seeds)
    all_seeds = jax.jit(partial(jax.lax.map, one))(keys)
    return {name: np.asarray(value).mean(0).T for name, value in all_seeds.items()}


def path_of(
    workload: Workload,
    tx: optax.GradientTransformation,
    start: PyTree,
    key: Key,
    num_steps: int,
    batch_size: int,
) -> PyTree:
    """Parameters before training and after each step on the first `batch_size` examples, stacked."""
    tx = optax.with_extra_args_support(tx)
    batch = jax.tree.map(lambda leaf: leaf[:batch_size], workload.train_data)

    def value(params, grad_fn=None):  # a line search of Optax hands it over
        return workload.loss(params, batch, key).mean()

    def step(carry, _):
        params, opt_state = carry
        loss, grads = jax.value_and_grad(value)(params)
        extra = {"value": loss, "grad": grads, "value_fn": value, "grad_fn": jax.grad(value)}
        updates, opt_state = tx.update(grads, opt_state, params, **extra)
        params = optax.apply_updates(params, updates)
        return (params, opt_state), params

    _, later = jax.lax.scan(step, (start, tx.init(start)), length=num_steps)
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, later)


def outputs_of_layers(workload: Workload, params: PyTree, batch: PyTree) -> dict[str, jax.Array]:
    """What every submodule of a linen model returns when `batch` is evaluated, by path; {} of other models."""
    outputs, statistics = {}, workload.statistics

    def record(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path and isinstance(result, jax.Array):
            outputs["/".join(context.module.path)] = result
        return result

    with nn.intercept_methods(record):
        workload.evaluate(workload.fitted(params, statistics.initial if statistics else ()), batch)
    return outputs


def layers_of(workload: Workload) -> tuple[str, ...]:
    """Names of the layers that can be watched, () where the model is not made of Flax linen modules."""
    params = jax.eval_shape(workload.init, jax.random.key(0))
    batch = jax.tree.map(lambda leaf: leaf[:1], workload.eval_data)
    return tuple(jax.eval_shape(partial(outputs_of_layers, workload), params, batch))


def exponent(widths: Sequence[int], sizes: Float[np.ndarray, " widths"]) -> float:
    """Slope of log size against log width; 0 where the layer moves at no width, infinite where at some."""
    if not sizes.any():
        return 0.0
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        return float("inf")
    return float(np.polyfit(np.log(widths), np.log(sizes), 1)[0])


def mean_abs(x: jax.Array) -> Float[jax.Array, ""]:
    return jnp.abs(x).mean()
