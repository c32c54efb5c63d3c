"""Character language model on the English text that ships inside CPython, its `help()` topics."""

from __future__ import annotations

import jax
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int

from lr_batch.problem.from_arrays import from_arrays
from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.attention import causal_attention
from lr_batch.workloads.layers import Embed

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))  # Fixed: parameters have one shape in all Pythons.
UNKNOWN = len(ALPHABET)
LENGTH = 32
HELD_OUT_EVERY = 8  # topics
HELD_OUT_WINDOWS = 256  # of about 1,100: an evaluation should cost less than the steps between two


def pydoc_lm(
    width: int = 32, layers: int = 1, base_width: int | None = None, base_layers: int | None = None
) -> Workload:
    """One-layer causal Transformer of width 32 over windows of 32 characters; goal: loss below 2.8 nats.

    Guessing by character frequency gives 3.28 nats. The text, and with it
    the data hash, differs between versions of Python.

    Args:
      width: of the residual stream, even; the two heads have half of it each.
      layers: blocks of attention and feed-forward network.
      base_width: makes attention scores fall like 1/d, equal to the usual 1/sqrt(d) at this width (muP).
      base_layers: scales residual branches by base_layers / layers (CompleteP).
    """
    train, held_out = load_topics()
    return from_arrays(
        CharTransformer(
            vocab=len(ALPHABET) + 1,
            width=width,
            layers=layers,
            base_width=base_width,
            branch_scale=base_layers / layers if base_layers else 1.0,
        ),
        train=train,
        held_out=held_out,
        loss=lambda logits, y: optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(axis=-1),
        goal=Goal("loss", 2.8),
        name="pydoc_lm",
        budget=20_000,
        batch_sizes=tuple(2**i for i in range(9)),
        micro_batch=256,
    )


class CharTransformer(nn.Module):
    """Pre-norm Transformer (Xiong et al., 2020).

    Attributes:
      vocab: number of characters.
      width: of the residual stream; the heads share it.
      heads: of attention.
      layers: blocks of attention and feed-forward network.
      base_width: where given, scores of heads of size d are divided by d / sqrt(d at that width), in place
        of sqrt(d) (Yang et al., 2022, definition 4.1).
      branch_scale: factor of every residual branch.
    """

    vocab: int
    width: int = 32
    heads: int = 2
    layers: int = 1
    base_width: int | None = None
    branch_scale: float = 1.0

    @nn.compact
    def __call__(self, x: Int[Array | np.ndarray, "m length"]) -> Float[Array, "m length vocab"]:
        position = self.param("position", nn.initializers.normal(0.1), (x.shape[1], self.width))
        h = Embed(self.vocab, self.width, name="embed")(x) + position[None]
        for _ in range(self.layers):
            h = h + self.branch_scale * self._attention(nn.LayerNorm()(h))
            feed_forward = nn.Dense(self.width)(jax.nn.relu(nn.Dense(2 * self.width)(nn.LayerNorm()(h))))
            h = h + self.branch_scale * feed_forward
        return nn.Dense(self.vocab, name="unembed")(nn.LayerNorm()(h))

    def _attention(self, h: Float[Array, "m length width"]) -> Float[Array, "m length width"]:
        split = nn.Dense(3 * self.width, use_bias=False)(h).reshape(*h.shape[:2], 3, self.heads, -1)
        query, key, value = (split[:, :, i] for i in range(3))
        size = self.width / self.heads
        divisor = np.sqrt(size) * np.sqrt(self.width / (self.base_width or self.width))
        return nn.Dense(self.width, use_bias=False)(causal_attention(query, key, value, divisor))


def load_topics() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Windows of 32 characters and what follows each of these, `[n, 32]` twice, to train on and held out.

    Every eighth topic by name is held out whole, and 256 of its windows, evenly
    spaced, are evaluated. Windows do not overlap and do
    not cross topics; what is left at the end of a topic is dropped.
    """
    from pydoc_data.topics import topics

    texts = [encode(topics[name]) for name in sorted(topics)]
    held_out = [text for i, text in enumerate(texts) if i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1]
    train = [text for i, text in enumerate(texts) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
    x, y = _windows(held_out)
    spaced = np.linspace(0, len(x) - 1, HELD_OUT_WINDOWS).astype(int)
    return _windows(train), (x[spaced], y[spaced])


def encode(text: str) -> Int[np.ndarray, " characters"]:
    """Index of each character in the alphabet; one index for all that are not in it."""
    index = {character: i for i, character in enumerate(ALPHABET)}
    return np.array([index.get(character, UNKNOWN) for character in text], np.int32)


def _windows(texts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    counts = [(len(text) - 1) // LENGTH for text in texts]
    x = [text[: n * LENGTH].reshape(n, LENGTH) for text, n in zip(texts, counts, strict=True)]
    y = [text[1 : n * LENGTH + 1].reshape(n, LENGTH) for text, n in zip(texts, counts, strict=True)]
    return np.concatenate(x), np.concatenate(y)
