"""Bytes that are held at once: which results lie in memory, when, and whose they are."""

import jax
import jax.numpy as jnp

from lr_batch.engine.live_bytes import live_bytes

MANY = 64  # lanes
X = jax.ShapeDtypeStruct((8, 4), jnp.float32)
W = jax.ShapeDtypeStruct((4, 100), jnp.float32)


def of_a_lane(function):
    """Bytes that a lane with its own `W` holds, beside what lanes share."""
    return live_bytes(function, W, X, lanes=MANY).own


def test_results_of_products_lie_in_memory_and_elementwise_ones_do_not():
    one_product = lambda w, x: jnp.exp(-(x @ w)).sum()
    assert of_a_lane(one_product) == 8 * 100 * 4 + 4  # the product and its sum


def test_elementwise_results_that_go_into_a_product_lie_in_memory():
    two_products = lambda w, x: (jnp.tanh(x @ w) @ w.T).sum()
    assert of_a_lane(two_products) == 2 * 8 * 100 * 4  # x w and its tanh; then the tanh and less


def test_elementwise_results_that_are_read_twice_lie_in_memory():
    twice = lambda w, x: (lambda z: z.sum() + (z * z).sum())((x @ w) + 1.0)
    assert of_a_lane(twice) >= 2 * 8 * 100 * 4  # the product and the sum with 1


def test_masks_are_compared_again_by_whoever_reads_them():
    def two_readers(w, x):
        z = x @ w
        positive = z > 0
        return jnp.where(positive, z, 0.0).sum() + jnp.where(positive, 2.0, z).sum()

    assert of_a_lane(two_readers) == 8 * 100 * 4 + 2 * 4  # the product and both sums


def test_slices_lie_in_memory_where_they_are_put_together_alone():
    z = lambda w, x: x @ w
    halves = lambda w, x: (lambda z: (z[:, :50] * z[:, 50:]).sum())(z(w, x))
    joined = lambda w, x: (lambda z: jnp.concatenate([z[:, 50:], z[:, :50]]).sum())(z(w, x))
    assert of_a_lane(halves) == 8 * 100 * 4 + 4
    assert of_a_lane(joined) == 2 * 8 * 100 * 4  # both slices and what they make


def test_what_lanes_share_is_held_once():
    both = lambda w, x: (x @ x.T).sum() + w.sum()
    assert live_bytes(both, W, X, lanes=1) == (0, 8 * 8 * 4 + 4)
    assert live_bytes(both, W, X, lanes=1_000) == (4, 4)  # both sums, when the product is no longer read


def test_what_lanes_share_is_told_apart_within_a_loop_too():
    def loop(w, x):
        step = lambda _, carry: (carry[0] + (x @ w).sum(), carry[1] + (x @ x.T).sum())
        return jax.lax.fori_loop(0, 50, step, (jnp.zeros(()), jnp.zeros(())))

    own, shared = live_bytes(loop, W, X, lanes=MANY)
    assert 8 * 100 * 4 <= own <= 8 * 100 * 4 + 16
    assert shared <= 16
    swapped = lambda x, w: loop(w, x)
    assert live_bytes(swapped, X, W).own >= 8 * 100 * 4 + 4  # both products are those of a lane


def test_body_of_a_loop_is_counted_once():
    def loop(w, x):
        return jax.lax.fori_loop(0, 50, lambda _, total: total + jnp.sin(x @ w).sum(), jnp.zeros(()))

    assert 8 * 100 * 4 <= of_a_lane(loop) <= 8 * 100 * 4 + 16


def test_slices_that_a_loop_goes_through_lie_in_memory_where_a_product_reads_them():
    stacked = jax.ShapeDtypeStruct((50, 8, 4), jnp.float32)
    read = lambda w, x: jax.lax.scan(lambda total, part: (total + (part @ w).sum(), None), 0.0, x)[0]
    assert live_bytes(read, W, stacked, lanes=1).shared == 8 * 4 * 4
    one = jax.ShapeDtypeStruct((1, 8, 4), jnp.float32)
    assert live_bytes(read, W, one, lanes=MANY).shared == 0


def test_what_lapack_reads_is_overwritten():
    square = jax.ShapeDtypeStruct((30, 30), jnp.float32)
    decomposed = lambda a, _: jnp.linalg.eigh(jnp.sin(a) @ a)[1]
    assert live_bytes(decomposed, square, ()).own < 3 * 30 * 30 * 4


def test_what_a_condition_makes_is_in_its_branches_until_then():
    square = lambda a: a @ a
    chosen = lambda a, yes: jax.lax.cond(yes, square, lambda a: a, a).sum()
    wide = jax.ShapeDtypeStruct((30, 30), jnp.float32)
    assert live_bytes(chosen, wide, jax.ShapeDtypeStruct((), bool)).own < 1.1 * 30 * 30 * 4


def test_what_is_returned_takes_the_place_of_the_argument_it_comes_from():
    def step(w, x):
        after = 0.9 * w + jnp.sin(x)[0, 0]
        return after, (after @ after.T).sum()

    assert of_a_lane(step) == 4 * 4 * 4 + 4  # the product and its sum


def test_zeros_that_are_written_into_lie_in_memory():
    column = jnp.arange(8)
    scattered = lambda w, x: jnp.zeros((100, 100)).at[column].add(w[0] * x[0, 0]).sum()
    assert of_a_lane(scattered) >= 2 * 100 * 100 * 4  # as zeros, and with what was added


def test_random_bits_take_four_words_while_they_are_drawn_and_two_until_they_are_read():
    key = jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32"))
    draw = lambda key, x: jax.random.bits(key, (8, 100)).sum()
    assert live_bytes(draw, key, X).own == 4 * 8 * 100 * 4
    dropped = lambda key, w: jnp.where(jax.random.bernoulli(key, 0.1, (4, 100)), jnp.sin(w), 0.0) @ w.T
    assert live_bytes(dropped, key, W).own == 4 * 4 * 100 * 4


def test_a_factor_is_spread_over_a_product_that_is_summed():
    scaled = lambda w, x: ((x @ w) * jax.lax.rsqrt((x @ w).sum(axis=1, keepdims=True))).sum(axis=0)
    assert of_a_lane(scaled) >= 2 * 8 * 100 * 4
