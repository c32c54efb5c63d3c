"""LSTM on LM1B: panel (i) of Shallue et al. (2019)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.examples import NUM_TOKENS, read_text
from lr_batch.workloads.layers import Dense, Embed
from lr_batch.workloads.panel import NESTEROV, TINY, Panel, Scale, powers_of_2, small_start


class LSTM(nn.Module):
    """One layer of Hochreiter & Schmidhuber's cells, whose output is projected (Sak et al., 2014) and fed back.

    Attributes:
      vocab: number of tokens.
      units: memory cells.
      projection: numbers in the projected output, and in the embedding of a token.
    """

    vocab: int
    units: int = 2_048
    projection: int = 512

    @nn.compact
    def __call__(
        self, x: Int[Array | np.ndarray, "m length"], deterministic: bool = True
    ) -> Float[Array, "m length vocab"]:
        del deterministic  # There is no noise.
        embedded = Embed(self.vocab, self.projection, name="embed")(x)
        normal = nn.initializers.lecun_normal()
        inputs = nn.Dense(4 * self.units, name="inputs")(embedded)
        recurrent = self.param("recurrent", normal, (self.projection, 4 * self.units))
        project = self.param("project", normal, (self.units, self.projection))

        def step(carry, inputs):
            cell, output = carry
            gates = jnp.split(inputs + output @ recurrent, 4, axis=-1)
            write, forget, read = map(jax.nn.sigmoid, (gates[0], gates[1] + FORGET, gates[2]))
            cell = forget * cell + write * jnp.tanh(gates[3])
            output = (read * jnp.tanh(cell)) @ project
            return (cell, output), output

        zeros = (jnp.zeros((len(x), self.units)), jnp.zeros((len(x), self.projection)))
        _, outputs = jax.lax.scan(step, zeros, inputs.swapaxes(0, 1))
        return Dense(self.vocab, kernel_init=small_start, name="head")(outputs.swapaxes(0, 1))


FORGET = 1.0  # added to the forget gate, so that memory lasts at first (Jozefowicz et al., 2015)
VOCAB = 32_768
GOAL, SIZES, BUDGET = Goal("loss", 3.9), powers_of_2(16, 32_768), 2_000_000
PANEL = Panel(
    "lm1b_lstm",
    "lm1b",
    {
        "base": Scale(LSTM(VOCAB), (128,), 43_032_576, GOAL, SIZES, BUDGET, 64, "int32", VOCAB),
        TINY: Scale(
            LSTM(NUM_TOKENS, 32, 16),
            (16,),
            13_250,
            Goal("loss", 2.6),
            powers_of_2(2, 256),
            10_000,
            256,
            "int32",
        ),
    },
    read_text,
    published="one layer of 2,048 units; 30,301,028 sentences, of which a batch counts; constant rates, 50 trials at "
    "each batch size; cross entropy below 3.9; batch sizes",
    chosen="embedding and projection of 512 (2048-512 of Jozefowicz et al., 2016), 32,768 pieces, separate output "
    "weights, no dropout, a head that starts small; ranges of the search; bytes on a stand-in; all of tiny, whose "
    "tokens are bytes",
    recipe=NESTEROV._replace(trials=50),
)


def lm1b_lstm(scale: str = "base") -> Workload:
    """Panel (i): LSTM on the One Billion Word Benchmark; goal: held-out cross entropy below 3.9 nats a token.

    Args:
      scale: "base" (2,048 units) or "tiny" (32 units, sequences of 16 bytes).
    """
    return PANEL.workload(scale)
