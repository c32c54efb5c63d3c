# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # From your own model to a learning rate and a batch size
#
# Half a minute on two cores, offline. As a notebook: `jupytext --to ipynb own_model_to_advice.py`, or open this file
# in an editor that knows `# %%` cells; `python own_model_to_advice.py` runs it as it is.

# %%
from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported: trials then run on all cores

# %%
import flax.linen as nn
import jax
import numpy as np
import optax
from sklearn.datasets import load_digits

import lr_batch
import runs

# %% [markdown]
# ## 1. A model and arrays become a workload
#
# The loss gives one value for each example. The goal is what counts as done, on held-out examples.

# %%
x, y = load_digits(return_X_y=True)
x, y = x.astype("float32") / 16, y.astype("int32")


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(nn.relu(nn.Dense(32)(x)))


workload = lr_batch.from_arrays(
    Net(),
    train=(x[::2], y[::2]),
    held_out=(x[1::2], y[1::2]),
    loss=optax.softmax_cross_entropy_with_integer_labels,
    goal="loss<0.4",
    name="my_digits",
)

# %% [markdown]
# ## 2. What is to be measured
#
# The study is checked on real rows before anything is trained.

# %%
study = lr_batch.Study(
    workload,
    optimizer="sgd",
    batch_sizes=(4, 16, 64, 256),
    space={"learning_rate": lr_batch.log_grid(0.05, 3.2, 7)},
    seeds=3,
)
for finding in lr_batch.check(study):
    print(finding)

# %% [markdown]
# ## 3. Measured, with progress
#
# Trials are kept in the folder: the same cell again answers at once, and goes on where it was if it was stopped.

# %%
digits = runs.run(study, "my-digits")
digits

# %% [markdown]
# ## 4. The advice, and the figures behind it

# %%
print(digits.analysis.advice)

# %%
digits.figure("steps_to_goal")

# %%
digits.figure("learning_rate")

# %% [markdown]
# The numbers of the advice, with their intervals, and the trials as a table of your own (`to_arrow()`, or `to_pandas()`
# where pandas is installed).

# %%
critical = digits.analysis.critical
if critical:
    print(critical)
trials = digits.result.columns
reached = np.isfinite(trials["steps_to_goal"])
print(f"{reached.sum()} of {len(reached)} trials reached the goal")

# %% [markdown]
# ## 5. The advice taken, in a loop of your own
#
# A seed that the study has not seen, for as many steps as the slowest seeds of the study needed.

# %%
advised = next(row for row in digits.analysis.summary["steps_to_goal"] if row["batch_size"] == 16)
rate, steps = advised["learning_rate"]["best"], int(advised["high"])
model, tx = Net(), optax.sgd(rate)
params = model.init(jax.random.key(7), x[:1])
state = tx.init(params)


def loss_of(params, x, y):
    return optax.softmax_cross_entropy_with_integer_labels(model.apply(params, x), y).mean()


@jax.jit
def step(params, state, x, y):
    updates, state = tx.update(jax.grad(loss_of)(params, x, y), state, params)
    return optax.apply_updates(params, updates), state


rows = np.random.default_rng(7)
for _ in range(steps):
    batch = 2 * rows.choice(len(x[::2]), 16, replace=False)  # even rows are for training
    params, state = step(params, state, x[batch], y[batch])
print(f"after {steps} steps at rate {rate:.2g}: held-out loss {loss_of(params, x[1::2], y[1::2]):.3f}")
