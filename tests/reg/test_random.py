"""The random methods draw what they state.

Every test below compares a mean over n independent draws with its expectation; it fails where they differ by
more than 5 standard errors, which right code does once in 1.7 million tries. Keys are fixed: it passes or
fails for ever.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reg_rows import tiny

from reg import REGULARIZERS
from reg.dropout import drop

ERRORS = 5.0
WORKLOAD = tiny()


def assert_mean(values, expected):
    values = np.asarray(values, float).ravel()
    error = values.std(ddof=1) / len(values) ** 0.5
    assert abs(values.mean() - expected) < ERRORS * error


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_drop_keeps_the_mean_and_drops_at_its_rate(rate):
    """n = 200,000."""
    x = drop(jnp.full(200_000, 3.0), rate, jax.random.key(1))
    assert_mean(x, 3.0)
    assert_mean(x == 0, rate)
    np.testing.assert_allclose(x[x != 0], 3.0 / (1 - rate), rtol=1e-6)


def test_what_a_low_rate_drops_a_high_rate_drops_too():
    low, high = (drop(jnp.ones(1000), rate, jax.random.key(2)) == 0 for rate in (0.2, 0.6))
    assert (high | ~low).all() and high.sum() > low.sum()


def hidden_inputs(name, rate, keys):
    """Outputs `[keys, 10, 50]` of a chain of three layers, the last two of which pass their inputs on."""
    from flax import linen as nn

    class Chain(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(50, use_bias=False, kernel_init=nn.initializers.ones)(x)
            x = nn.Dense(50, use_bias=False, kernel_init=lambda key, shape, dtype: jnp.eye(50))(x)
            return nn.Dense(50, use_bias=False, kernel_init=lambda key, shape, dtype: jnp.eye(50))(x)

    model = Chain()
    params = model.init(jax.random.key(0), jnp.ones((1, 2)))
    seen = []

    def outputs(params, batch, key):
        seen.append(model.apply(params, batch["x"]))
        return seen[-1].sum(axis=1)

    loss = REGULARIZERS[name]({name: rate}).loss(outputs, None)

    def one(key):
        loss(params, {"x": jnp.ones((10, 2))}, key)
        return seen[-1]

    return jax.vmap(one)(keys)


def test_dropout_acts_on_both_hidden_layers_and_keeps_the_data():
    """n = 100,000 hidden units; a unit of the end survives two draws."""
    outputs = hidden_inputs("dropout", 0.3, jax.random.split(jax.random.key(3), 200))
    assert_mean(outputs == 0, 1 - 0.7**2)
    assert_mean(outputs, 2.0)
    assert (np.abs(outputs[outputs != 0] - 2 / 0.7**2) < 1e-4).all()
    assert not (outputs[0] == outputs[1]).all()  # another step, other draws
    rows = outputs[0] == 0
    assert not (rows == rows[:1]).all()  # and other draws for each example


def test_drop_connect_keeps_the_mean_weight():
    """n = 128 first-layer weights x 500 keys."""
    seen = []

    def outputs(params, batch, key):
        seen.append(params)
        return jnp.zeros(2)

    params = {"kernel": jnp.ones((16, 8)), "bias": jnp.ones(8)}
    loss = REGULARIZERS["drop_connect"]({"drop_connect": 0.25}).loss(outputs, None)

    def one(key):
        loss(params, None, key)
        return seen[-1]

    thinned = jax.vmap(one)(jax.random.split(jax.random.key(4), 500))
    assert_mean(thinned["kernel"], 1.0)
    assert_mean(thinned["kernel"] == 0, 0.25)
    assert (thinned["bias"] == 1).all()


def test_stochastic_depth_skips_blocks_at_its_rate_for_each_example():
    """n = 64,000: a block that adds 1 adds 0 or 1 / (1 - p)."""
    from flax import linen as nn

    class AddOneBlock(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x + 1.0

    seen = []

    def outputs(params, batch, key):
        seen.append(AddOneBlock().apply({}, batch["x"]))
        return seen[-1].sum(axis=1)

    loss = REGULARIZERS["stochastic_depth"]({"stochastic_depth": 0.4}).loss(outputs, None)
    loss(None, {"x": jnp.zeros((64_000, 3))}, jax.random.key(5))
    added = np.asarray(seen[-1])
    assert (added == added[:, :1]).all()
    assert_mean(added[:, 0], 1.0)
    assert_mean(added[:, 0] == 0, 0.4)


def test_gradient_noise_has_the_variance_of_its_step():
    """n = 100,000 at steps 0 and 9: eta / (1 + t)^0.55."""
    tx = REGULARIZERS["gradient_noise"]({"gradient_noise": 0.2}).before
    grads = {"w": jnp.zeros(100_000)}
    for step, expected in ((0, 0.2), (9, 0.2 / 10**0.55)):
        noise, count = tx.update(grads, jnp.int32(step), None, key=jax.random.key(step))
        assert_mean(noise["w"], 0.0)
        assert_mean(noise["w"] ** 2, expected)
        assert count == step + 1


def augmented(name, strength, x, key):
    examples = REGULARIZERS[name]({name: strength}).loss(lambda params, batch, key: batch["x"], None)
    return np.asarray(examples(None, {"x": x}, key))


def test_random_flip_mirrors_at_its_rate():
    """n = 20,000 images of 1 x 2 pixels."""
    x = jnp.tile(jnp.array([[[1.0], [2.0]]]), (20_000, 1, 1, 1))
    assert_mean(augmented("random_flip", 0.3, x, jax.random.key(6))[:, 0, 0, 0] == 2, 0.3)


def test_random_crop_moves_uniformly_by_whole_pixels():
    """n = 20,000: a dot in the middle of 7 x 7 goes to each of 25 places once in 25 times."""
    x = jnp.zeros((20_000, 49)).at[:, 24].set(1.0)
    places = augmented("random_crop", 2.0, x, jax.random.key(7)).argmax(axis=1)
    reached = np.bincount(places, minlength=49).reshape(7, 7)
    assert (reached[1:6, 1:6] > 0).all() and reached[1:6, 1:6].sum() == 20_000
    for place in np.flatnonzero(reached):
        assert_mean(places == place, 1 / 25)


def test_cutout_zeroes_a_square():
    x = jnp.ones((500, 8, 8, 2))
    cut = augmented("cutout", 3.0, x, jax.random.key(8)) == 0
    assert (cut[..., 0] == cut[..., 1]).all()
    rows, columns = cut[..., 0].any(axis=2).sum(axis=1), cut[..., 0].any(axis=1).sum(axis=1)
    assert (cut[..., 0].sum(axis=(1, 2)) == rows * columns).all()
    assert rows.max() == columns.max() == 3 and rows.min() >= 1
    assert len(np.unique(cut.reshape(500, -1), axis=0)) > 50
