"""A workload that compiles in no time: logistic regression on sixty rows of noise."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import optax

import lr_batch


def tiny_workload(**changes) -> lr_batch.Workload:
    """With the functions that it has in all tests: they are traced and checked once."""
    return _shared()._replace(**changes)


def new_workload() -> lr_batch.Workload:
    """The same with functions of its own, as in another process."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    y = (x @ rng.normal(size=(5, 3))).argmax(1).astype(np.int32)
    model = (lambda key: {"w": jnp.zeros((5, 3))}, lambda params, x: x @ params["w"])
    return lr_batch.from_arrays(
        model,
        train=(x[:40], y[:40]),
        held_out=(x[40:], y[40:]),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal=lr_batch.Goal("loss", 0.5),
        name="tiny",
        budget=200,
    )


_shared = functools.cache(new_workload)


def sgd(hparams):
    return optax.sgd(hparams["learning_rate"])


RATES = (0.01, 0.1, 1.0, 3.0)


def tiny_study(**changes) -> lr_batch.Study:
    fields = dict(
        workload=tiny_workload(),
        optimizer=sgd,
        batch_sizes=(1, 4, 6, 40),
        space={"learning_rate": RATES},
        seeds=2,
        extend=False,
    )
    return lr_batch.Study(**(fields | changes))


# Of studies that need no programs of their own, since they differ in what is no part of one.
run = functools.partial(lr_batch.run, programs=lr_batch.Programs())
