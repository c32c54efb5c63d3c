"""What every model becomes, however it was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from lr_batch.problem.workload import Key, PyTree


class Model(NamedTuple):
    """A model as two pure functions.

    Attributes:
      init: `(key, x) -> params`, x being one row of the inputs, `[1, ...]`.
      apply: `(params, x, key) -> outputs`. With a key the model trains (dropout
        on, drawn from the key); with None it is evaluated.
    """

    init: Callable[[Key, jax.Array], PyTree]
    apply: Callable[[PyTree, jax.Array, Key | None], Any]


def refuse_state(collections: set[str]) -> None:
    """Only parameters are trained: a running average would be frozen at its first value without a word."""
    if collections:
        raise ValueError(
            f"from_arrays: the model keeps state besides its parameters ({', '.join(sorted(collections))}); "
            "use a layer without running averages, such as LayerNorm or GroupNorm"
        )
