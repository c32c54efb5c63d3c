"""Transformer on LM1B and Common Crawl: panels (f) and (g) of Shallue et al. (2019)."""

from __future__ import annotations

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.attention import causal_attention
from lr_batch.workloads.examples import NUM_TOKENS, read_text
from lr_batch.workloads.layers import lookup
from lr_batch.workloads.panel import NESTEROV, TINY, Panel, Scale, powers_of_2

# Of the first step: with 1, as tied tables usually have it, the loss starts 0.5 too high
LOGIT_VARIANCE = 0.1


class Transformer(nn.Module):
    """The decoder of Vaswani et al. (2017) as a language model, normalised before each branch (Xiong et al., 2020).

    Positions are sinusoids; embedding and output share one table.

    Attributes:
      vocab: number of tokens.
      width: of the residual stream, even; the heads share it.
      layers: blocks of attention and feed-forward network.
      heads: of attention.
      hidden: units of the feed-forward networks.
      dropout: of embeddings and branches.
    """

    vocab: int
    width: int = 512
    layers: int = 6
    heads: int = 8
    hidden: int = 2_048
    dropout: float = 0.1

    @nn.compact
    def __call__(
        self, x: Int[Array | np.ndarray, "m length"], deterministic: bool
    ) -> Float[Array, "m length vocab"]:
        drop = lambda h: nn.Dropout(self.dropout, deterministic=deterministic)(h)
        start = nn.initializers.normal(np.sqrt(LOGIT_VARIANCE / self.width))
        table = self.param("table", start, (self.vocab, self.width))
        h = np.sqrt(self.width / LOGIT_VARIANCE).astype(np.float32) * lookup(table, x)
        h = drop(h + sinusoids(x.shape[1], self.width)[None])
        for _ in range(self.layers):
            h = h + drop(self._attention(nn.LayerNorm()(h)))
            h = h + drop(nn.Dense(self.width)(jax.nn.relu(nn.Dense(self.hidden)(nn.LayerNorm()(h)))))
        return nn.LayerNorm()(h) @ table.T

    def _attention(self, h: Float[Array, "m length width"]) -> Float[Array, "m length width"]:
        project = lambda h: nn.Dense(self.width, use_bias=False)(h)
        query, key, value = (project(h).reshape(*h.shape[:2], self.heads, -1) for _ in range(3))
        return project(causal_attention(query, key, value, np.sqrt(self.width // self.heads)))


def sinusoids(length: int, width: int) -> Float[np.ndarray, "length width"]:
    """Section 3.5 of Vaswani et al. (2017), sines before cosines: wavelengths from 2 pi to 20,000 pi."""
    angles = np.arange(length)[:, None] / 10_000.0 ** (np.arange(width // 2) / (width // 2))[None]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


VOCAB, LENGTH = 32_768, 128
SIZES = {  # width, layers, heads, hidden, and the count of parameters
    "base": (512, 6, 8, 2_048, 35_680_256),
    "shallow": (512, 2, 8, 2_048, 23_078_912),
    "narrow_shallow": (256, 2, 4, 1_024, 9_966_592),
    "wide": (1_024, 6, 16, 4_096, 109_109_248),
}
CHOSEN = (
    "32,768 pieces in one table for input and output, sequences of 128, sinusoids, normalization before branches, "
    "dropout 0.1, no label smoothing, a table that starts small, ranges of the search; bytes on a stand-in; all of tiny, "
    "whose tokens are bytes"
)


def _scale(name: str, batch_sizes: tuple[int, ...], budget: int) -> Scale:
    *size, num_params = SIZES[name]
    goal = Goal("loss", 3.9)
    return Scale(
        Transformer(VOCAB, *size), (LENGTH,), num_params, goal, batch_sizes, budget, 64, "int32", VOCAB
    )


_TINY = Scale(
    Transformer(NUM_TOKENS, 32, 2, 2, 64),
    (16,),
    25_152,
    Goal("loss", 2.8),
    powers_of_2(2, 256),
    10_000,
    256,
    "int32",
)
LM1B = Panel(
    "lm1b_transformer",
    "lm1b",
    {name: _scale(name, powers_of_2(16, 32_768), 1_000_000) for name in SIZES} | {TINY: _TINY},
    read_text,
    published="the base Transformer as a language model; shallow: two layers; narrow_shallow: two layers, half of all "
    "widths; wide: twice; 30,301,028 sentences, of which a batch counts; constant rates; cross entropy below 3.9; batch "
    "sizes",
    chosen=CHOSEN,
)
COMMON_CRAWL = Panel(
    "common_crawl_transformer",
    "c4",
    {"base": _scale("base", powers_of_2(32, 16_384), 1_300_000), TINY: _TINY},
    read_text,
    published="the base Transformer; constant rates, 50 trials at each batch size; cross entropy below 3.9; batch sizes",
    chosen="C4 for Common Crawl; " + CHOSEN,
    recipe=NESTEROV._replace(trials=50),
)


def lm1b_transformer(scale: str = "base") -> Workload:
    """Panel (f): Transformer on the One Billion Word Benchmark; goal: held-out cross entropy below 3.9 nats a token.

    Args:
      scale: "base" (width 512, 6 layers), "shallow" (2 layers), "narrow_shallow" (width 256, 2 layers), "wide"
        (width 1,024) or "tiny" (width 32, 2 layers, sequences of 16 bytes).
    """
    return LM1B.workload(scale)


def common_crawl_transformer(scale: str = "base") -> Workload:
    """Panel (g): Transformer on web pages; goal: held-out cross entropy below 3.9 nats a token.

    Args:
      scale: "base" or "tiny", as of `lm1b_transformer`.
    """
    return COMMON_CRAWL.workload(scale)
