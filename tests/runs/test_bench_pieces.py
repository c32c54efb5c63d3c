"""The parts of a step, the products of matrices within, and the stopwatch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bench_work import WORK

from lr_batch.engine import products
from lr_batch.workloads.patch_conv import lane_by_lane, of_patches
from runs.bench import pieces, stopwatch
from runs.bench.products import product_loop
from runs.bench.step_time import StepTimer
from runs.bench.stopwatch import seconds_per_round


def test_products_of_a_network_are_all_found():
    """64-128-10 on 5 examples, forward, weights backward, and back through the second layer alone; 3
    lanes."""
    study = WORK.study()
    chunk = pieces.make_timed_chunk(study, 5, 3, "vmap")
    found = pieces.gradient_products(chunk)
    assert sum(p.flops * p.count for p in found) == 2 * 5 * 3 * (2 * 64 * 128 + 3 * 128 * 10)
    in_twos = pieces.gradient_products(chunk, rows=2)  # 3 of them, of which the last is not full
    assert sum(p.flops * p.count for p in in_twos) == 2 * 6 * 3 * (2 * 64 * 128 + 3 * 128 * 10)


def test_products_inside_of_a_scan_are_counted_each_time():
    square = jnp.ones((4, 4))
    powers = lambda x: jax.lax.scan(lambda carry, _: (carry @ square, None), x, None, length=7)[0]
    (found,) = products(powers, square)
    assert (found.count, found.flops) == (7, 2 * 4**3)


@pytest.mark.parametrize("x_axis", [None, 0])
def test_a_convolution_counts_as_the_product_of_its_patches(x_axis):
    """Forward, and backward to kernels and, where lanes differ in it, to the input."""
    shape = (3,) * (x_axis == 0) + (5, 6, 8, 2)

    def flops(convolve):
        loss = lambda x, kernel: jnp.sum(convolve(x, kernel, 1) ** 2)
        gradient = jax.vmap(jax.grad(loss, argnums=(0, 1) if x_axis == 0 else (1,)), in_axes=(x_axis, 0))
        found = products(gradient, jnp.ones(shape), jnp.ones((3, 3, 3, 2, 4)))
        return sum(product.flops * product.count for product in found)

    passes = 3 if x_axis == 0 else 2
    assert flops(lane_by_lane) == flops(of_patches) == passes * 2 * (3 * 5 * 6 * 8) * (3 * 3 * 2) * 4


def test_the_loop_of_products_does_them_in_every_round():
    wanted = products(lambda a, b: a @ b, jnp.ones((2, 3)), jnp.ones((3, 4)))
    loop, start = product_loop([wanted[0]._replace(count=5)])
    ((left, right, out),) = jax.jit(loop)(jnp.int32(7), start)
    np.testing.assert_array_equal(left[0], [6 + 4, 1, 1])  # the last round and repetition
    np.testing.assert_array_equal(out, left @ right)


def test_parts_of_a_step_do_what_they_are_named_for():
    chunk = pieces.make_timed_chunk(WORK.study(), 8, 2, "vmap")
    after = lambda piece: jax.jit(piece[0])(jnp.int32(1), piece[1])
    draw, batch, _ = after(pieces.gather(chunk))
    rows = chunk.draw.orders[:8]
    np.testing.assert_array_equal(batch["x"][:8], chunk.study.workload.train_data["x"][rows])
    assert int(draw.step) == 1
    _, params, grads, _ = after(pieces.gather_and_gradient(chunk))
    state, _ = after(pieces.update(chunk))
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    assert shapes(params) == shapes(grads) == shapes(state.params)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))
    _, values = after(pieces.evaluation(chunk))
    assert values.shape == (2,) and (values > 1).all()
    _, in_parts = after(pieces.evaluation_in_parts(chunk))
    np.testing.assert_allclose(in_parts, values, rtol=1e-5)


def test_the_stopwatch_counts_rounds(monkeypatch):
    asked = []

    def together(work, num):
        asked.append(num)
        return 0.001 * num  # a machine of which nothing else wants time

    spin = lambda num, x: jax.lax.fori_loop(0, num, lambda _, x: jnp.sin(x), x)
    assert seconds_per_round(spin, jnp.ones(4), 0.02) > 0
    monkeypatch.setattr(stopwatch, "_together", together)
    assert seconds_per_round(spin, jnp.ones(4), 0.5) == pytest.approx(0.001)
    assert asked[-3:] == [500, 500, 500]  # half a second each


def test_loops_with_lapack_calls_take_turns(monkeypatch):
    """Two at once may wait for each other for ever, as the parts of a step with Shampoo once did."""
    turns = CountedTurns()
    monkeypatch.setattr("lr_batch.engine.workers.LAPACK_TURNS", turns)
    spin = lambda num, x: jax.lax.fori_loop(0, num, lambda _, x: jnp.linalg.eigh(x)[1], x)
    seconds_per_round(spin, jnp.ones((3, 4, 4)), 0.01)
    assert turns.taken > 0 and turns.held == 0


class CountedTurns:
    taken = held = 0

    def __enter__(self):
        self.taken, self.held = self.taken + 1, self.held + 1

    def __exit__(self, *error):
        self.held -= 1


def test_the_engine_runs_its_steps_on_the_stopwatch():
    times = StepTimer(WORK.study(), 2, "vmap").time(8, 0.01)
    assert 0 < times.step < 0.1 and times.dispatch > 0
