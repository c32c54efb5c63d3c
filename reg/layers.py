"""Changes inputs and outputs of the layers of Flax linen models from outside, while a loss is traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn
from flax.linen.module import InterceptorContext

from reg.applied import LossFn

Change = Callable[[Callable, tuple, dict, InterceptorContext, int], tuple[Any, bool]]


def intercepted(owner: str, what: str, loss_fn: LossFn, change: Callable[[Any, jax.Array], Change]) -> LossFn:
    """`loss_fn` in which `change(batch, key)` stands around every `__call__` of a module.

    The change gets the call, its arguments, and how many calls it has changed before; it returns the output
    and whether it changed anything.

    Raises:
      ValueError: from the loss, if nothing was changed: the model is not a linen model or has no such layer.
    """

    def loss(params, batch, key):
        changed, around = [0], change(batch, key)

        def interceptor(call, args, kwargs, context):
            if context.method_name != "__call__":
                return call(*args, **kwargs)
            output, done = around(call, args, kwargs, context, changed[0])
            changed[0] += done
            return output

        with nn.intercept_methods(interceptor):
            losses = loss_fn(params, batch, key)
        if not changed[0]:
            raise ValueError(
                f"{owner}: found no {what} in this model; it must be a Flax linen model that has some"
            )
        return losses

    return loss


def has_weights(module: nn.Module) -> bool:
    """Whether `module` is a layer with a kernel: dense, convolution, or any other that calls it so."""
    return module.scope is not None and module.has_variable("params", "kernel")
