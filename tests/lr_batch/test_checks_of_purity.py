"""What Python or NumPy draws is one draw for the whole training: refused, wherever it stands."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checked_study import CROSS_ENTROPY, LINEAR, refused, workload_of

import lr_batch

numbers = np.random.default_rng()
count = itertools.count()
ONCE = numbers.binomial(1, 0.5, size=(1, 5)).astype("float32")


def drawn_start(key):
    return jnp.asarray(numbers.normal(size=(5, 3)), jnp.float32)


def dropped(params, x):
    return (x * numbers.uniform(size=(1, x.shape[1])).astype("float32")) @ params


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": (drawn_start, LINEAR[1])}, "init makes parameters by another program each time"),
        ({"model": (LINEAR[0], dropped)}, "the loss is computed by another program each time"),
        ({"loss": lambda out, y: CROSS_ENTROPY(out, y) * next(count)}, "the loss is computed by another"),
        (
            {"metrics": {"noisy": lambda out, y: CROSS_ENTROPY(out, y) + numbers.normal()}},
            "metrics are computed by another program each time: what Python or NumPy draws .* draw from the key",
        ),
    ],
)
def test_what_python_draws_or_counts_is_refused(fields, said):
    refused(workload_of(**fields), said)


@pytest.mark.parametrize(
    "model",
    [
        (LINEAR[0], lambda params, x: (x * ONCE) @ params),
        (LINEAR[0], lambda params, x, key=None: x @ params + jax.random.normal(jax.random.key(3), (1, 3))),
    ],
)
def test_what_was_drawn_once_before_is_a_constant(model):
    assert lr_batch.check(lr_batch.Study(workload_of(model), batch_sizes=(4,), seeds=1))
