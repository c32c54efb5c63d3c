"""A linear model on sixty rows of noise: the problem of the kept study beside it."""

import jax.numpy as jnp
import numpy as np
import optax

import lr_batch

rng = np.random.default_rng(0)
x = rng.normal(size=(60, 5)).astype(np.float32)
y = (x @ rng.normal(size=(5, 3))).argmax(1).astype(np.int32)
model = (lambda key: {"w": jnp.zeros((5, 3))}, lambda params, x: x @ params["w"])
workload = lr_batch.from_arrays(
    model,
    train=(x[:40], y[:40]),
    held_out=(x[40:], y[40:]),
    loss=optax.softmax_cross_entropy_with_integer_labels,
    goal=lr_batch.Goal("loss", 0.5),
    name="linear",
    budget=200,
)
