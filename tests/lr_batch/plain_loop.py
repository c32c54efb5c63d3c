"""Drawn problems, and the loop that a user of Flax and Optax would write for each: no lane, no micro-batch, no mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from hypothesis import strategies as st
from optax import contrib

import lr_batch
import optim
from lr_batch.lanes.micro_batch import micro_batch_of
from lr_batch.lanes.order import epoch_order

ROWS, FEATURES, OUTPUTS, VOCABULARY, WIDTH = 12, 3, 3, 5, 4
RATES = (0.02, 0.3)
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels


class Problem(NamedTuple):
    """`model` is what the user hands over; `apply(params, x, key)` is how the user would call it."""

    model: Any
    apply: Callable
    noisy: bool
    tokens: bool = False
    part: Any = None  # which part of the outputs is the prediction


class Draw(NamedTuple):
    problem: str
    loss: str
    optimizer: Any
    dtype: str
    batch_size: int
    micro_batch: int
    steps: int
    seed: int
    shared: bool = False  # whether lanes share what no hyperparameter reaches, as in a chunk; slower to trace


# Models, by name -> dtype -> Problem.
def linen(net: nn.Module, flag: str | None = None, streams: tuple[str, ...] = (), **fields: Any) -> Problem:
    """A linen module that a user calls with `flag` and with streams of their own seeding."""

    def apply(params, x, key):
        training = key is not None
        told = (
            {}
            if flag is None
            else {flag: training if flag.startswith(("train", "is_train")) else not training}
        )
        rngs = {"dropout": key} if training else None
        return net.apply({"params": params}, x, rngs=rngs, **told)

    return Problem(net, apply, bool(streams), **fields)


class Net(nn.Module):
    dtype: Any
    rate: float = 0.0
    outputs: str = "plain"

    @nn.compact
    def __call__(self, x, train=False):
        dense = lambda width: nn.Dense(width, dtype=self.dtype, param_dtype=self.dtype)
        h = nn.tanh(dense(WIDTH)(x))
        h = nn.Dropout(self.rate, deterministic=not train)(h)
        out = dense(OUTPUTS)(h)
        return {"plain": out, "tuple": (h, out), "dict": {"h": h, "out": out}}[self.outputs]


class Evaluated(nn.Module):
    dtype: Any

    @nn.compact
    def __call__(self, x, deterministic):
        h = nn.LayerNorm(param_dtype=self.dtype, dtype=self.dtype)(
            nn.Dense(WIDTH, param_dtype=self.dtype, dtype=self.dtype)(x)
        )
        h = nn.Dropout(0.3, deterministic=deterministic)(h)
        return nn.Dense(OUTPUTS, param_dtype=self.dtype, dtype=self.dtype)(h)


class Tied(nn.Module):
    dtype: Any

    @nn.compact
    def __call__(self, x):
        embed = nn.Embed(VOCABULARY, WIDTH, dtype=self.dtype, param_dtype=self.dtype)
        h = nn.tanh(nn.Dense(WIDTH, dtype=self.dtype, param_dtype=self.dtype)(embed(x)))
        return embed.attend(h)[:, :OUTPUTS]


def nnx_net(rate: float, stream: str, flag: str | None) -> type:
    class Module(nnx.Module):
        def __init__(self, rngs):
            self.a, self.b = nnx.Linear(FEATURES, WIDTH, rngs=rngs), nnx.Linear(WIDTH, OUTPUTS, rngs=rngs)
            self.first = nnx.Dropout(rate, rng_collection=stream, rngs=rngs)
            self.second = nnx.Dropout(rate, rngs=rngs)

        def hidden(self, x, off):
            return self.second(self.first(nnx.tanh(self.a(x)), deterministic=off), deterministic=off)

    def told(self, x, is_training=False):
        return self.b(self.hidden(x, not is_training))

    def untold(self, x):
        return self.b(self.hidden(x, None))

    Module.__call__ = untold if flag is None else told
    return Module


def nnx_problem(rate: float, stream: str, flag: str | None) -> Problem:
    make = nnx_net(rate, stream, flag)

    def apply(params, x, key):
        module = make(nnx.Rngs(7))
        nnx.update(module, params)
        module.eval() if key is None else module.train()
        if (
            key is not None
        ):  # as documented: the streams of a step are numbered in the order of the module's graph
            streams = [node for _, node in nnx.iter_graph(module) if isinstance(node, nnx.RngStream)]
            for number, own in enumerate(streams):
                own.key.set_value(jax.random.fold_in(key, number))
                own.count.set_value(jnp.uint32(0))
        return module(x) if flag is None else module(x, is_training=key is not None)

    return Problem(make, apply, rate > 0)


def pair(noisy: bool, dtype: Any) -> Problem:
    def init(key):
        return {
            "w": 0.5 * jax.random.normal(key, (FEATURES, OUTPUTS), dtype),
            "b": jnp.zeros((1, OUTPUTS), dtype),
        }

    def plain(params, x):
        return x.astype(dtype) @ params["w"] + params["b"]

    def drawn(params, x, rng=None):
        noise = 0 if rng is None else 0.1 * jax.random.normal(rng, x.shape, dtype)
        return plain(params, x.astype(dtype) + noise)

    if noisy:
        return Problem((init, drawn), lambda params, x, key: drawn(params, x, key), True)
    return Problem((init, plain), lambda params, x, key: plain(params, x), False)


MODELS: dict[str, Callable[[Any], Problem]] = {
    "linen": lambda dtype: linen(Net(dtype), "train"),
    "linen dropout": lambda dtype: linen(Net(dtype, 0.4), "train", ("dropout",)),
    "linen deterministic": lambda dtype: linen(Evaluated(dtype), "deterministic", ("dropout",)),
    "linen tuple": lambda dtype: linen(Net(dtype, outputs="tuple"), "train", part=1),
    "linen dict": lambda dtype: linen(Net(dtype, 0.2, "dict"), "train", ("dropout",), part="out"),
    "linen tied": lambda dtype: linen(Tied(dtype), tokens=True),
    "nnx": lambda dtype: nnx_problem(0.0, "dropout", None),
    "nnx dropout": lambda dtype: nnx_problem(0.4, "dropout", None),
    "nnx own stream": lambda dtype: nnx_problem(0.4, "drop_path", None),
    "nnx flag": lambda dtype: nnx_problem(0.3, "dropout", "is_training"),
    "pair": lambda dtype: pair(False, dtype),
    "pair with key": lambda dtype: pair(True, dtype),
}
# Losses of predictions `[m, 3]`, and the targets that they want.
LOSSES: dict[str, tuple[Callable, str]] = {
    "cross entropy": (CROSS_ENTROPY, "labels"),
    "smoothed": (
        lambda z, y: optax.softmax_cross_entropy(z, optax.smooth_labels(jax.nn.one_hot(y, OUTPUTS), 0.1)),
        "labels",
    ),
    "squared": (lambda z, y: jnp.sum((z - y) ** 2, axis=1), "vectors"),
    "huber": (lambda z, y: optax.huber_loss(z, y).mean(axis=1), "vectors"),
    "sigmoid": (lambda z, y: optax.sigmoid_binary_cross_entropy(z[:, 0], y > 1), "labels"),
}
PIECES: dict[str, Callable[[], optax.GradientTransformation]] = {
    "clip_by_global_norm": lambda: optax.clip_by_global_norm(1.0),
    "clip": lambda: optax.clip(0.5),
    "adaptive_grad_clip": lambda: optax.adaptive_grad_clip(0.1),
    "decay": lambda: optax.add_decayed_weights(1e-2),
    "masked decay": lambda: optax.masked(
        optax.add_decayed_weights(1e-2), lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    ),
    "trace": lambda: optax.trace(0.9),
    "nesterov": lambda: optax.trace(0.9, nesterov=True),
    "ema": lambda: optax.ema(0.8),
    "adam": optax.scale_by_adam,
    "amsgrad": optax.scale_by_amsgrad,
    "belief": optax.scale_by_belief,
    "yogi": optax.scale_by_yogi,
    "radam": optax.scale_by_radam,
    "rms": optax.scale_by_rms,
    "stddev": optax.scale_by_stddev,
    "rss": optax.scale_by_rss,
    "lion": optax.scale_by_lion,
    "trust ratio": optax.scale_by_trust_ratio,
    "centralize": optax.centralize,
    "zero_nans": optax.zero_nans,
    "noise": lambda: optax.add_noise(0.01, 0.55, 3),
    "schedule": lambda: optax.scale_by_schedule(optax.cosine_decay_schedule(1.0, 5)),
    "apply_every": lambda: optax.apply_every(2),
    "muon": lambda: optim.scale_by_muon(),
    "shampoo": lambda: optim.scale_by_shampoo(),
    "soap": lambda: optim.scale_by_soap(),
}


def chain_of(names: tuple[str, ...], wrap: str) -> Callable:
    def make(hparams):
        tx = optax.chain(
            *(PIECES[name]() for name in names), optax.scale_by_learning_rate(hparams["learning_rate"])
        )
        if wrap == "multi steps":
            return optax.MultiSteps(tx, 2).gradient_transformation()
        return optax.apply_if_finite(tx, 3) if wrap == "if finite" else tx

    make.__name__ = " ".join((*names, wrap)).replace(" ", "_") or "bare"
    return make


def free(hparams):
    return contrib.schedule_free_adamw(hparams["learning_rate"])


CHAINS = st.builds(
    chain_of,
    st.lists(st.sampled_from(sorted(PIECES)), max_size=3, unique=True).map(tuple),
    st.sampled_from(["", "", "", "multi steps", "if finite"]),
)
OPTIMIZERS = st.one_of(st.sampled_from(sorted(optim.OPTIMIZERS)), CHAINS, CHAINS, st.just(free))
DRAWS = st.builds(
    Draw,
    problem=st.sampled_from(sorted(MODELS)),
    loss=st.sampled_from(sorted(LOSSES)),
    optimizer=OPTIMIZERS,
    dtype=st.sampled_from(["float32", "float32", "float32", "bfloat16", "float64", "int8"]),
    batch_size=st.integers(1, ROWS),
    micro_batch=st.sampled_from([1, 16]),
    steps=st.integers(1, 4),
    seed=st.integers(0, 3),
    shared=st.sampled_from([False, False, False, True]),
)


class Made(NamedTuple):
    """What is handed over, the workload made of it, and the loss of `(outputs, y)`."""

    problem: Problem
    workload: lr_batch.Workload
    loss: Callable


def made_of(draw: Draw) -> Made:
    """The problem that is drawn.

    Raises:
      ValueError: where it is refused.
    """
    rng = np.random.default_rng(draw.seed)
    problem = MODELS[draw.problem](jnp.bfloat16 if draw.dtype == "bfloat16" else jnp.float32)
    x = rng.normal(size=(2 * ROWS, FEATURES)).astype("float64" if draw.dtype == "float64" else "float32")
    x = (3 * x).astype("int8").astype("float32") if draw.dtype == "int8" else x
    x = rng.integers(0, VOCABULARY, 2 * ROWS).astype("int32") if problem.tokens else x
    on_outputs, kind = LOSSES[draw.loss]
    y = rng.integers(0, OUTPUTS, 2 * ROWS) if kind == "labels" else rng.normal(size=(2 * ROWS, OUTPUTS))
    take = lambda outputs: outputs if problem.part is None else outputs[problem.part]
    loss = lambda outputs, y: on_outputs(take(outputs).astype(jnp.float32), y)
    workload = lr_batch.from_arrays(
        problem.model,
        train=(x[:ROWS], y[:ROWS]),
        held_out=(x[ROWS:], y[ROWS:]),
        loss=loss,
        goal="loss<1e-6",
        micro_batch=draw.micro_batch,
    )
    return Made(problem, workload, loss)


def plain_loop(draw: Draw, made: Made, rates: tuple[float, ...], *, off: float = 0.0) -> list[float]:
    """Held-out losses after the steps of a loop over whole batches, one loop for each rate.

    Each parameter is `off` by that part of it, up or down, as it starts and wherever a gradient is taken; so is each
    example's loss.
    """
    workload, optimizer = made.workload, lr_batch.as_optimizer(draw.optimizer)
    transformation = lambda rate: optax.with_extra_args_support(optimizer({"learning_rate": rate}))
    data = jax.tree.map(jnp.asarray, workload.train_data)

    @jax.jit
    def start(rate):
        params = _off(workload.init(jax.random.key(draw.seed)), off, 0)
        return params, transformation(rate).init(params)

    @jax.jit
    def step(rate, params, state, rows, number):
        return _step(draw, made, transformation(rate), data, params, state, rows, number, off)

    @jax.jit
    def held_out(params, state, x, y):
        at = _average(draw, optimizer, state, params)
        return jnp.mean(made.loss(made.problem.apply(at, x, None), y))

    def trained(rate):
        params, state = start(rate)
        for number in range(draw.steps):
            params, state = step(rate, params, state, _rows(draw, number), number)
        return float(held_out(params, state, workload.eval_data["x"], workload.eval_data["y"]))

    return [trained(np.float32(rate)) for rate in rates]


def _rows(draw: Draw, number: int) -> np.ndarray:
    """Examples of a step: the batches of a pass follow each other, and one pass the other."""
    passes = range(1 + (number + 1) * draw.batch_size // ROWS)
    order = np.concatenate([np.asarray(_order(draw.seed, epoch)) for epoch in passes])
    return order[number * draw.batch_size : (number + 1) * draw.batch_size]


@jax.jit
def _order(seed, epoch):
    return epoch_order(seed, epoch, ROWS)


def _step(draw, made, tx, data, params, state, rows, number, off):
    problem, step_key = made.problem, jax.random.fold_in(jax.random.key(draw.seed), number)
    size = micro_batch_of(draw.batch_size, draw.micro_batch) if problem.noisy else draw.batch_size

    def mean(params, grad_fn=None):  # a line search of Optax hands it over
        total = 0.0
        for index, first in enumerate(
            range(0, draw.batch_size, size)
        ):  # noise has a key for each micro-batch
            some = rows[first : first + size]
            outputs = problem.apply(params, data["x"][some], jax.random.fold_in(step_key, index))
            losses = made.loss(outputs, data["y"][some])
            total += jnp.sum(_off(losses, off, number))
        return total / draw.batch_size

    value, grads = jax.value_and_grad(mean)(_off(params, off, 1 + number))
    extra = {"value": value, "grad": grads, "value_fn": mean, "grad_fn": jax.grad(mean)}
    updates, state = tx.update(grads, state, params, **extra)
    return optax.apply_updates(params, updates), state


def _off(tree: Any, off: float, number: int) -> Any:
    """The same with each number a part `off` larger or smaller, by chance."""
    if not off:
        return tree
    signs = optax.tree.random_like(jax.random.key(number), tree, jax.random.rademacher)
    return jax.tree.map(lambda leaf, sign: (leaf * (1 + off * sign)).astype(leaf.dtype), tree, signs)


def _average(draw: Draw, optimizer: optim.Optimizer, state: Any, params: Any) -> Any:
    """The iterate that a user of Optax would evaluate."""
    if draw.optimizer is free:
        return contrib.schedule_free_eval_params(state, params)
    return optim.averaged_params(state, params) if "schedule_free" in optimizer.name else params
