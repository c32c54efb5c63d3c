"""Which examples and which noise a step uses: a pure function of seed and step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from lr_batch.lanes.order import epoch_order
from lr_batch.problem.workload import Key


class Draw(NamedTuple):
    """Which examples and which noise a step uses; shared by all lanes of a chunk.

    The batch is the next `batch_size` examples of `orders`, the orders of this epoch and the next one end to end,
    from `offset` on.
    """

    seed: Int[Array, ""]
    step: Int[Array, ""]
    epoch: Int[Array, ""]
    offset: Int[Array, ""]
    orders: Int[Array, " twice_num_examples"]

    @classmethod
    def first(cls, seed: Int[Array, ""], num_examples: int) -> Draw:
        zero = jnp.int32(0)
        orders = [epoch_order(seed, zero + epoch, num_examples) for epoch in (0, 1)]
        return cls(seed, zero, zero, zero, jnp.concatenate(orders))

    @property
    def key(self) -> Key:
        """Of the noise of this step."""
        return jax.random.fold_in(jax.random.key(self.seed), self.step)

    def rows(self, number: Int[Array, " m"]) -> Int[Array, " m"]:
        """Rows of the data where these examples of the batch lie."""
        return self.orders[self.offset + number]

    def next(self, batch_size: Int[Array, ""]) -> Draw:
        num_examples = self.orders.shape[0] // 2
        used = self.offset + batch_size  # at most two epochs' worth, since no batch is larger than the data
        turned = used >= num_examples

        def next_orders():
            return jnp.concatenate(
                [self.orders[num_examples:], epoch_order(self.seed, self.epoch + 2, num_examples)]
            )

        if jax.default_backend() == "cpu":
            orders = jax.lax.cond(turned, next_orders, lambda: self.orders)
        else:  # computing an order takes less time than asking the host whether one is needed
            orders = jnp.where(turned, next_orders(), self.orders)
        epoch = self.epoch + turned
        return Draw(self.seed, self.step + 1, epoch, used - turned * num_examples, orders)


class Window(NamedTuple):
    """The same where examples are streamed: the data are a window of the next steps, whose rows lie in their order.

    The batch is the next `batch_size` rows from `offset` on. What they are, the host has worked out: `examples_at`.
    `evaluated` is the step of the last evaluation, between which and the next one there may be several windows.
    """

    seed: Int[Array, ""]
    step: Int[Array, ""]
    offset: Int[Array, ""]
    evaluated: Int[Array, ""]

    @classmethod
    def first(cls, seed: Int[Array, ""]) -> Window:
        zero = jnp.int32(0)
        return cls(seed, zero, zero, zero)

    key = Draw.key

    def rows(self, number: Int[Array, " m"]) -> Int[Array, " m"]:
        """Rows of the window where these examples of the batch lie."""
        return self.offset + number

    def next(self, batch_size: Int[Array, ""]) -> Window:
        return self._replace(step=self.step + 1, offset=self.offset + batch_size)
