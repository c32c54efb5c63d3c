"""Whether functions are pure: what Python or NumPy draws, or counts, is one number for the whole training.

JAX calls them once and keeps what they computed, so that a random mask or an initial value of theirs is the same at
every step and for every seed, and another one in every process.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lr_batch.checks.probe import Probe, spread, take
from lr_batch.errors import StudyError
from lr_batch.lanes.batch_statistics import of_groups

ADDRESS = re.compile("0x[0-9a-f]+")  # in memory, of functions


def check_pure(probe: Probe) -> list[str]:
    """Raises StudyError where a function of the workload is another one each time it is traced."""
    workload, key = probe.workload, jax.eval_shape(jax.random.key, 0)
    params = jax.eval_shape(workload.init, key)
    start = jax.eval_shape(workload.before_training, key)
    batch, held_out = (
        _shapes(take(data, spread(data, probe.rows))) for data in (workload.train_data, workload.eval_data)
    )
    for what, function, args in (
        ("init makes parameters", workload.init, (key,)),
        ("the loss is computed", of_groups(workload), (params, batch, key)),
        ("metrics are computed", workload.evaluate, (start, held_out)),
    ):
        if differs(function, *args):
            raise StudyError(
                f"{workload.name}: {what} by another program each time: what Python or NumPy draws or counts is one "
                "number for the whole training, and another one in every process; draw from the key that init and loss "
                "are given"
            )
    return ["functions: pure, what is random comes from the key"]


def differs(function: Callable, *args: Any) -> bool:
    """Whether a function is another program when it is traced again."""
    return _program(function, *args) != _program(function, *args)


def _program(function: Callable, *args: Any) -> tuple[str, list[bytes]]:
    """A function as JAX traces it, and the constants in it."""
    closed = jax.make_jaxpr(lambda *args: function(*args))(*args)  # a new function: nothing is remembered
    return ADDRESS.sub("", str(closed.jaxpr)), [_bytes_of(const) for const in closed.consts]


def _bytes_of(const: Any) -> bytes:
    is_key = jnp.issubdtype(const.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(const) if is_key else const).tobytes()


def _shapes(batch: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), batch)
