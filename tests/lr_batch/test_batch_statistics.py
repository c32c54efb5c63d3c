"""Batch statistics in a lane: against a plain Flax loop, whatever the micro-batch, frozen where a lane diverges."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from tiny import sgd

import lr_batch
from lr_batch.engine import Identity, chunk_memory
from lr_batch.lanes.lane import Draw, make_lane
from lr_batch.lanes.micro_batch import MicroBatch, micro_batches_of

rng = np.random.default_rng(0)
N, GROUP, STEPS = 96, 8, 5
X = rng.normal(1.0, 2.0, size=(N, 6)).astype("float32")
Y = (X[:, 0] > X[:, 1]).astype("int32")
LOSS = optax.softmax_cross_entropy_with_integer_labels
HPARAMS = {"learning_rate": jnp.float32(0.2)}


class Net(nn.Module):
    momentum: float = 0.9
    rate: float = 0.0

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.BatchNorm(use_running_average=not train, momentum=self.momentum)(nn.Dense(5)(x))
        x = nn.Dropout(self.rate, deterministic=not train)(nn.relu(x))
        return nn.Dense(2)(nn.BatchNorm(use_running_average=not train, momentum=self.momentum)(x))


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.a, self.b = nnx.Linear(6, 5, rngs=rngs), nnx.Linear(5, 2, rngs=rngs)
        self.norm = nnx.BatchNorm(5, momentum=0.9, rngs=rngs)

    def __call__(self, x):
        return self.b(nnx.relu(self.norm(self.a(x))))


def pair_init(key):
    a, b = jax.random.split(key)
    params = {"a": jax.random.normal(a, (6, 5)) / 2, "b": jax.random.normal(b, (5, 2)) / 2}
    return params, {"mean": jnp.zeros(5), "var": jnp.ones(5), "offset": jnp.arange(2.0)}


def pair_apply(params, state, x, train=False):
    h = x @ params["a"]
    if train:
        mean, var = h.mean(0), h.var(0)
        state = {**state, "mean": 0.8 * state["mean"] + 0.2 * mean, "var": 0.8 * state["var"] + 0.2 * var}
    else:
        mean, var = state["mean"], state["var"]
    h = (h - mean[None]) / jnp.sqrt(var + 1e-5)[None]
    return jax.nn.relu(h) @ params["b"] + state["offset"][None], state


MODELS = {"linen": Net(), "nnx": NnxNet, "pair": (pair_init, pair_apply)}
DATA = {"x": jnp.asarray(X), "y": jnp.asarray(Y)}


@functools.cache  # so that tests share what is compiled for it
def made(model=MODELS["linen"], **fields):
    fields = {"goal": "loss<0.2", "group_size": GROUP, "budget": 40} | fields
    return lr_batch.from_arrays(model, train=(X, Y), held_out=(X[:40], Y[:40]), loss=LOSS, **fields)


@functools.cache
def lane_of(model, examples, **fields):
    """The lane, and the compiled `(batch size, steps) -> state`."""
    lane = make_lane(made(model, **fields), lr_batch.as_optimizer(sgd), "loss", (MicroBatch(examples),))

    @jax.jit
    def run(size, steps):
        one = lambda _, carry: (lane.step(HPARAMS, carry[0], carry[1], size, DATA), carry[1].next(size))
        start = lane.init(HPARAMS, jnp.int32(3), jnp.bool_(True)), Draw.first(jnp.int32(3), N)
        return jax.lax.fori_loop(0, steps, one, start)[0]

    return lane, run


def trained(examples, batch_size, *, steps=STEPS, model=MODELS["linen"], **fields):
    """A lane, and its state after the steps."""
    lane, run = lane_of(model, examples, **fields)
    return lane, run(jnp.int32(batch_size), jnp.int32(steps))


def assert_close(one, other, rtol=1e-5, atol=1e-6):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("model", MODELS)
def test_nothing_depends_on_the_micro_batch(model):
    workload = made(MODELS[model])
    assert workload.statistics and {n.rpartition("/")[2] for n in workload.statistics.initial} == {
        "mean",
        "var",
    }
    reference = trained(GROUP, 48, model=MODELS[model])[1]
    for examples in (2 * GROUP, 8 * GROUP):  # the last is filled up with masked groups
        assert_close(trained(examples, 48, model=MODELS[model])[1], reference)


def test_neither_does_the_noise_of_dropout():
    noisy = trained(GROUP, 24, model=Net(rate=0.5))[1]
    assert_close(noisy, trained(3 * GROUP, 24, model=Net(rate=0.5))[1])
    silent = trained(GROUP, 24)[1]
    first = lambda state: state.params["Dense_0"]["kernel"]
    assert np.abs(first(silent) - first(noisy)).max() > 1e-3


def test_a_lane_is_a_plain_flax_loop():
    """One group is the whole batch: the loop of Flax's documentation."""
    module, workload = Net(), made(group_size=24)
    lane, state = trained(24, 24, group_size=24)
    variables = module.init({"params": jax.random.split(jax.random.key(3))[0]}, X[:1], train=False)
    params, stats = variables["params"], variables["batch_stats"]
    draw, tx, size = Draw.first(jnp.int32(3), N), optax.sgd(0.2), jnp.int32(24)
    opt_state = tx.init(params)

    @jax.jit
    def step(params, stats, opt_state, x, y):
        def mean_loss(params):
            both = {"params": params, "batch_stats": stats}
            outputs, after = module.apply(both, x, train=True, mutable=["batch_stats"])
            return LOSS(outputs, y).mean(), after["batch_stats"]

        grads, stats_after = jax.grad(mean_loss, has_aux=True)(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), stats_after, opt_state

    for _ in range(STEPS):
        rows = draw.orders[draw.offset + jnp.arange(24)]
        params, stats, opt_state = step(params, stats, opt_state, DATA["x"][rows], DATA["y"][rows])
        draw = draw.next(size)
    assert_close(state.params, params)
    assert_close([state.averages[name] for name in sorted(state.averages)], jax.tree.leaves(stats))
    outputs: Any = module.apply({"params": params, "batch_stats": stats}, X[:40], train=False)
    blocks = jax.tree.map(lambda leaf: leaf[None], workload.eval_data)
    value = lane.evaluate(state, blocks, jnp.ones((1, 40), bool))
    np.testing.assert_allclose(value, LOSS(outputs, Y[:40]).mean(), rtol=1e-5)


def test_averages_move_once_a_step_towards_the_moments_of_the_whole_batch():
    """Normalised in three groups, but the variance is that of all 24 examples."""
    workload = made()
    _, state = trained(GROUP, 24, steps=1)
    params = workload.init(jax.random.key(3))
    rows = np.asarray(Draw.first(jnp.int32(3), N).orders)[:24]
    h = X[rows] @ np.asarray(params["Dense_0"]["kernel"]) + np.asarray(params["Dense_0"]["bias"])
    np.testing.assert_allclose(state.averages["batch_stats/BatchNorm_0/mean"], 0.1 * h.mean(0), rtol=1e-5)
    np.testing.assert_allclose(state.averages["batch_stats/BatchNorm_0/var"], 0.9 + 0.1 * h.var(0), rtol=1e-5)


def test_recomputed_statistics_are_those_of_training_examples():
    """All of them here, in the first layer; the running averages do not play a part."""
    lane, state = trained(GROUP, 24, statistics="recomputed")
    np.testing.assert_array_equal(state.averages["batch_stats/BatchNorm_0/mean"], 0)
    assert lane.refresh
    refreshed = lane.refresh(state, DATA)
    h = X @ np.asarray(state.params["Dense_0"]["kernel"]) + np.asarray(state.params["Dense_0"]["bias"])
    np.testing.assert_allclose(refreshed.averages["batch_stats/BatchNorm_0/mean"], h.mean(0), rtol=1e-4)
    np.testing.assert_allclose(refreshed.averages["batch_stats/BatchNorm_0/var"], h.var(0), rtol=1e-4)
    assert_close(state.params, trained(GROUP, 24)[1].params)


def study(**fields):
    workload = fields.pop("workload", None) or made(
        **{k: fields.pop(k) for k in ("statistics",) if k in fields}
    )
    space = {"learning_rate": fields.pop("rates", (0.5, 1.0))}
    sizes = {"batch_sizes": (8, 24), "seeds": 1, "extend": False, "slack": np.inf}
    return lr_batch.Study(workload, sgd, space=space, **sizes, **fields)


@pytest.mark.parametrize("statistics", ["averaged", "recomputed"])
def test_a_study_trains_and_a_diverged_lane_leaves_the_others_alone(statistics):
    programs = lr_batch.Programs()
    sound = lr_batch.run(study(statistics=statistics, rates=(0.5, 1.0, 0.8)), programs=programs)
    assert np.isfinite(sound.steps_to_goal).sum() >= 3
    assert sound.engine.programs_compiled == 2
    beside = lr_batch.run(study(statistics=statistics, rates=(0.5, 1.0, 1e30)), programs=programs)
    others = [np.isin(result.hparams["learning_rate"], (0.5, 1.0)) for result in (sound, beside)]
    assert set(beside.status[~others[1]]) == {"diverged"}
    np.testing.assert_allclose(beside.steps_to_goal[others[1]], sound.steps_to_goal[others[0]], rtol=1e-5)


def test_the_estimate_of_memory_has_the_averages():
    statistics = made().statistics
    assert statistics
    kept, bare = chunk_memory(study()), chunk_memory(study(workload=made(nn.Dense(2), group_size=None)))
    numbers = sum(np.size(leaf) for leaf in statistics.initial.values())
    assert numbers == 20 and (kept.kept - kept.params) - (bare.kept - bare.params) == 4 * numbers


def test_averages_of_a_diverged_lane_are_frozen():
    lane, state = trained(GROUP, 24)
    broken = state._replace(params=jax.tree.map(lambda leaf: leaf * jnp.nan, state.params))
    after = lane.step(HPARAMS, broken, Draw.first(jnp.int32(3), N), jnp.int32(24), DATA)
    assert not after.alive
    assert_close(after.averages, state.averages, rtol=0, atol=0)


def test_the_checks_know_that_examples_of_a_group_depend_on_each_other():
    said = lr_batch.check(study())
    kept = "running averages, moved once a step by the moments of the whole batch"
    in_groups = "training normalises in groups of 8, whose examples depend on each other"
    assert f"batch statistics: {in_groups}; evaluation uses {kept}" in said
    assert said[-2] == "examples: the value of each held-out one does not depend on the others of its batch"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"group_size": 0}, "group_size must be a whole number from 1 to the 96 training examples, got 0"),
        ({"group_size": 97}, "group_size must be a whole number from 1 to the 96 training examples, got 97"),
        ({"micro_batch": 4}, "micro_batch must be at least the 8 examples of a group, got 4"),
        ({"statistics": "average"}, "unknown statistics 'average'.*averaged"),
        (
            {"model": nn.Dense(2)},
            "group_size and statistics are of batch statistics, of which the model keeps none",
        ),
    ],
)
def test_what_does_not_fit_is_refused(fields, said):
    with pytest.raises(ValueError, match=said) as refused:
        made(**fields)
    assert "\n" not in str(refused.value)


def test_a_batch_that_is_no_whole_number_of_groups_is_refused():
    with pytest.raises(ValueError, match="batch sizes of from_arrays must be multiples of 8, .* got 4, 12"):
        lr_batch.Study(made(), sgd, batch_sizes=(4, 8, 12), seeds=1)
    assert made().batch_sizes == (8, 16, 32, 64)
    assert [m.examples for m in micro_batches_of((32, 512), 1024, 32)] == [32, 64]


def test_a_study_asks_for_groups_and_statistics_as_the_workload_would():
    asked = lr_batch.Study(made(), sgd, statistics="recomputed", group_size=16, seeds=1)
    own = lr_batch.Study(made(statistics="recomputed", group_size=16), sgd, seeds=1)
    assert (asked.statistics, asked.group_size) == ("recomputed", 16)
    assert asked.batch_sizes == own.batch_sizes == (16, 32, 64)
    one, other = (Identity.of(study, 4, "vmap") for study in (asked, own))
    assert one == other and one.described()["statistics"] == "recomputed"
    plain = lr_batch.Study(made(group_size=32), sgd, batch_sizes=(32,), seeds=1)
    assert not {"statistics", "group_size"} & {*Identity.of(plain, 4, "vmap").described()}
    assert dataclasses.replace(asked, seeds=2).group_size == 16


@pytest.mark.parametrize(
    ("workload", "fields", "said"),
    [
        (made(), {"group_size": 7.5}, "group_size must be a whole number from 1 to the 96 training examples"),
        (made(micro_batch=8), {"group_size": 16}, "micro_batch must be at least the 16 examples of a group"),
        (made(), {"statistics": "fresh"}, "unknown statistics 'fresh'.*averaged"),
        (made(), {"group_size": 16, "batch_sizes": (8, 16)}, "must be multiples of 16, .* got 8"),
        (
            "digits_mlp",
            {"group_size": 8},
            "group_size is of batch statistics, of which the model of digits_mlp",
        ),
        ("digits_mlp", {"statistics": "averaged"}, "statistics is of batch statistics, of which"),
    ],
)
def test_what_a_study_asks_for_is_refused_in_one_line(workload, fields, said):
    with pytest.raises(ValueError, match=said) as refused:
        lr_batch.Study(workload, **fields)
    assert "\n" not in str(refused.value)


class Reads(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        mean = self.variable("batch_stats", "mean", jnp.zeros, 6)
        if train:
            mean.value = 0.9 * mean.value + 0.1 * x.mean(0)
        return nn.Dense(2)(x - mean.value[None])


class Largest(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        top = self.variable("batch_stats", "top", jnp.zeros, 6)
        if train:
            top.value = jnp.maximum(top.value, x.max(0))
        return nn.Dense(2)(x)


class Untold(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.BatchNorm(use_running_average=False)(x))


def untold_apply(params, state, x):
    return pair_apply(params, state, x, train=True)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Untold(), "does not read its running averages in evaluation; let it take train"),
        ((pair_init, untold_apply), "does not read its running averages in evaluation; let it take train"),
        (Reads(), "reads its running averages while it trains"),
        (Largest(), r"\(batch_stats/top\) that is no running"),
    ],
)
def test_state_that_is_no_running_average_is_refused(model, said):
    with pytest.raises(ValueError, match=said) as refused:
        made(model)
    assert "\n" not in str(refused.value)


class LinenPhase(nn.Module):
    @nn.compact
    def __call__(self, x, fit_phase=False):
        return nn.Dense(2)(nn.BatchNorm(use_running_average=not fit_phase)(x))


class NnxPhase(nnx.Module):
    def __init__(self, rngs):
        self.norm, self.out = nnx.BatchNorm(6, rngs=rngs), nnx.Linear(6, 2, rngs=rngs)

    def __call__(self, x, phase="eval"):
        return self.out(self.norm(x, use_running_average=phase != "train"))


def pair_phase(params, state, x, update_stats=None):
    return pair_apply(params, state, x, bool(update_stats))


@pytest.mark.parametrize(
    ("model", "name"),
    [(LinenPhase(), "fit_phase"), (NnxPhase, "phase"), ((pair_init, pair_phase), "update_stats")],
)
def test_batch_statistics_that_nothing_switches_on_are_refused(model, name):
    with pytest.raises(ValueError, match=f"batch statistics are switched on by '{name}', .* one of train,"):
        made(model, group_size=None)


def test_the_noise_scale_is_that_of_groups():
    """8 tr(Sigma_g) / |G|^2 with the covariance of 2,000 groups' gradients, taken by Flax alone."""
    workload, params = made(), made().init(jax.random.key(0))

    averages = {"batch_stats": Net().init(jax.random.key(1), DATA["x"][:2], train=False)["batch_stats"]}

    def loss(params, rows):
        out, _ = Net().apply(
            {"params": params, **averages}, DATA["x"][rows], train=True, mutable=["batch_stats"]
        )
        return LOSS(out, DATA["y"][rows]).mean()

    rows = np.random.default_rng(0).integers(0, N, (2000, GROUP))
    grads = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(params, rows)
    table = np.concatenate([np.reshape(leaf, (2000, -1)) for leaf in jax.tree.leaves(grads)], axis=1)
    noise = table.var(axis=0, ddof=1).sum()
    truth = GROUP * noise / (np.sum(table.mean(axis=0) ** 2) - noise / 2000)
    scale = lr_batch.measure_noise_scale(workload, params, jax.random.key(1))
    assert scale.low < truth < scale.high and scale.high < 1.5 * scale.low
    with pytest.raises(ValueError, match="batch_small must be a multiple of 8"):
        lr_batch.measure_noise_scale(workload, params, jax.random.key(1), batch_small=4)
    one_group = lr_batch.Study(workload, sgd, (8,), {"learning_rate": (0.1,)}, seeds=1)
    with pytest.raises(
        ValueError, match="the 8 examples that are normalised together cannot be split.* at least 16"
    ):
        lr_batch.noise_along_training(one_group)
