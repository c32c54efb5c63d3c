"""A small study with one thing that may be wrong, and what is said of it before training."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest
from tiny import tiny_study

import lr_batch
from lr_batch import StudyError

rng = np.random.default_rng(0)
X = rng.normal(size=(96, 5)).astype("float32")
Y = np.argmax(X[:, :3], axis=1).astype("int32")
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels
LINEAR = (lambda key: 0.1 * jax.random.normal(key, (5, 3)), lambda params, x: x @ params)


def workload_of(model=LINEAR, x=X, y=Y, loss=CROSS_ENTROPY, goal="loss<0.1", **fields):
    return lr_batch.from_arrays(model, train=(x, y), held_out=(x, y), loss=loss, goal=goal, **fields)


def refused(workload=None, said="", **fields):
    """The study is refused with this line and nothing is trained."""
    study = tiny_study(**({"workload": workload} if workload else {}), batch_sizes=(4,), seeds=1, **fields)
    with pytest.raises(StudyError, match=said) as error:
        lr_batch.run(study)
    assert "\n" not in str(error.value)
