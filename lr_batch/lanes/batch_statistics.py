"""Moments of the groups of a batch, added up over its micro-batches, and the averages that they move once a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lr_batch.problem.statistics import SAMPLE, Averages, Statistics
from lr_batch.problem.workload import Key, PyTree, Workload, num_examples


class Moments(NamedTuple):
    """Sums over groups: of their moments, as differences from the averages, and of the squares of those of means."""

    sums: Averages
    squares: Averages


def in_groups(batch: PyTree, group: int) -> PyTree:
    """Rows as `[groups, group, ...]`."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, group, *leaf.shape[1:]), batch)


def group_keys(key: Key, first: Int[Array, ""] | int, count: int) -> Key:
    """A key for each group of a batch, by its number in the batch: the same whatever the micro-batch."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, first + jnp.arange(count))


def losses_of_groups(
    workload: Workload, params: PyTree, groups: PyTree, keys: Key
) -> Float[Array, " examples"]:
    """Losses of the examples, each normalised with its group."""
    return jax.vmap(workload.loss, in_axes=(None, 0, 0))(params, groups, keys).ravel()


def of_groups(workload: Workload) -> Callable[[PyTree, PyTree, Key], Float[Array, " m"]]:
    """The training loss of any number of examples: a batch that is no whole number of groups is one group."""
    if workload.statistics is None:
        return workload.loss

    def loss(params, batch, key):
        examples = num_examples(batch)
        group = examples if examples % workload.group else workload.group
        keys = group_keys(key, 0, examples // group)
        return losses_of_groups(workload, params, in_groups(batch, group), keys)

    return loss


def no_moments(statistics: Statistics) -> Moments:
    """Before the first group."""
    zeros = {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in statistics.initial.items()}
    return Moments(zeros, {name: zeros[name] for name in means(statistics)})


def means(statistics: Statistics) -> list[str]:
    """Those that a variance belongs to."""
    found = (statistics.mean_of(name) for name in statistics.initial)
    return [name for name in found if name is not None]


def train_groups(
    statistics: Statistics, params: PyTree, averages: Averages, groups: PyTree, keys: Key
) -> tuple[Float[Array, " examples"], Averages]:
    """Losses of the examples, and the averages `[groups, ...]` as each group moves them."""
    train = jax.vmap(statistics.train, in_axes=(None, None, 0, 0))
    losses, after = train(params, averages, groups, keys)
    return losses.ravel(), jax.lax.stop_gradient(after)


def moments_of(
    statistics: Statistics, averages: Averages, after: Averages, valid: Bool[Array, " groups"]
) -> Moments:
    """Of the groups that `valid` marks, from averages as each of them moves them."""
    masked = lambda leaf: jnp.where(valid.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, 0.0)
    moved = {name: masked((after[name] - averages[name][None]) / statistics.shares[name]) for name in after}
    squares = {name: jnp.square(moved[name]).sum(axis=0) for name in means(statistics)}
    return Moments({name: leaf.sum(axis=0) for name, leaf in moved.items()}, squares)


def pooled(
    statistics: Statistics, averages: Averages, moments: Moments, groups: Int[Array, ""] | int
) -> Averages:
    """Moments of all examples of the groups together."""
    whole = {name: averages[name] + total / groups for name, total in moments.sums.items()}
    for name in whole:
        if (mean := statistics.mean_of(name)) is not None:
            between = moments.squares[mean] / groups - jnp.square(moments.sums[mean] / groups)
            whole[name] = whole[name] + jnp.maximum(between, 0.0)
    return whole


def moved(
    statistics: Statistics, averages: Averages, moments: Moments, groups: Int[Array, ""] | int
) -> Averages:
    """The averages after a step on a batch of so many groups."""
    whole = pooled(statistics, averages, moments, groups)
    return {name: old + statistics.shares[name] * (whole[name] - old) for name, old in averages.items()}


def sample_rows(workload: Workload, statistics: Statistics) -> Int[np.ndarray, "groups group"]:
    """Rows of a fixed sample of the training examples, in groups."""
    group = statistics.group
    total = num_examples(workload.train_data)
    count = min(total, max(SAMPLE, group)) // group
    # RandomState, because NumPy freezes its stream. Neighbours of a file that is sorted must not make a group.
    return np.random.RandomState(0).permutation(total)[: count * group].reshape(count, group)


def make_refresh(
    workload: Workload, statistics: Statistics, *, sampled: bool = False
) -> Callable[[PyTree, PyTree], Averages]:
    """`(params, training data) -> averages`: the moments of a fixed sample of the training examples, in groups ("precise
    batch normalization", Wu & Johnson, 2021). Where it is `sampled`, the data are the sample alone, in its order."""
    rows = sample_rows(workload, statistics)
    count = len(rows)
    rows = np.arange(rows.size).reshape(rows.shape) if sampled else rows

    def refresh(params, data):
        initial = jax.tree.map(jnp.asarray, dict(statistics.initial))

        def add(number, so_far):
            batch = jax.tree.map(lambda leaf: leaf[jnp.asarray(rows)[number]][None], data)
            keys = group_keys(jax.random.key(0), number, 1)
            _, after = train_groups(statistics, params, initial, batch, keys)
            return jax.tree.map(jnp.add, so_far, moments_of(statistics, initial, after, jnp.ones(1, bool)))

        moments = jax.lax.fori_loop(0, count, add, no_moments(statistics))
        return pooled(statistics, initial, moments, count)

    return refresh
