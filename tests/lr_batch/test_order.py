"""The order of examples: a bijection for every seed and epoch, uniform over seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from lr_batch.lanes.order import epoch_order, examples_at


@pytest.mark.parametrize("num_examples", [1, 2, 3, 7, 64, 1400])
def test_every_epoch_visits_every_example_once(num_examples):
    order = jax.jit(lambda seed, epoch: epoch_order(seed, epoch, num_examples))
    for seed, epoch in ((0, 0), (0, 1), (5, 0), (2**31 - 1, 12345)):
        np.testing.assert_array_equal(
            np.sort(order(jnp.int32(seed), jnp.int32(epoch))), np.arange(num_examples)
        )


def test_seeds_and_epochs_differ():
    orders = [
        tuple(np.asarray(epoch_order(jnp.int32(s), jnp.int32(e), 50))) for s, e in ((0, 0), (1, 0), (0, 1))
    ]
    assert len(set(orders)) == 3


@pytest.mark.parametrize("num_examples", [2, 3, 7, 10])
def test_places_and_neighbours_are_uniform(num_examples):
    """Chi-squared over 20,000 seeds, two statistics per size; each fails by chance once in 10,000 fixed draws."""
    draws = 20_000
    order = jax.vmap(lambda seed: epoch_order(seed, jnp.int32(3), num_examples))
    orders = np.asarray(order(jnp.arange(draws, dtype=jnp.int32)))
    places = np.stack([np.bincount(orders[:, i], minlength=num_examples) for i in range(num_examples)])
    expected = draws / num_examples
    statistic = ((places - expected) ** 2 / expected).sum()
    assert statistic < chi2.isf(1e-4, (num_examples - 1) ** 2)
    pairs = np.zeros((num_examples, num_examples))
    np.add.at(pairs, (orders[:, 0], orders[:, 1]), 1)
    off_diagonal = pairs[~np.eye(num_examples, dtype=bool)]
    expected = draws / len(off_diagonal)
    statistic = ((off_diagonal - expected) ** 2 / expected).sum()
    assert statistic < chi2.isf(1e-4, max(1, len(off_diagonal) - 1))


@pytest.mark.parametrize("num_examples", [1, 7, 64])
def test_the_host_computes_the_same_order_a_position_at_a_time(num_examples):
    order = jax.jit(lambda seed, epoch: epoch_order(seed, epoch, num_examples))
    for seed in (0, 5, 2**31 - 1):
        whole = [np.asarray(order(jnp.int32(seed), jnp.int32(epoch))) for epoch in range(3)]
        positions = np.arange(3 * num_examples)
        np.testing.assert_array_equal(examples_at(seed, positions, num_examples), np.concatenate(whole))
        some = positions[::-7]
        np.testing.assert_array_equal(examples_at(seed, some, num_examples), np.concatenate(whole)[some])


def test_thirty_million_examples_need_no_table():
    far = 5 * 30_000_000 + np.arange(1_000)
    rows = examples_at(3, far, 30_000_000)
    assert len(np.unique(rows)) == 1_000 and 0 <= rows.min() and rows.max() < 30_000_000
    # Uniform: the mean of 1,000 draws is within five standard errors.
    assert abs(rows.mean() / 30_000_000 - 0.5) < 5 / np.sqrt(12 * 1_000)
