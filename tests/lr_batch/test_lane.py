"""One trial against a loop written by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import sgd, tiny_workload

from lr_batch import as_optimizer
from lr_batch.lanes import held_out_blocks
from lr_batch.lanes.batch_pass import batch_value_and_grad, differentiable_value
from lr_batch.lanes.lane import Draw, make_lane
from lr_batch.lanes.micro_batch import MicroBatch
from lr_batch.lanes.order import epoch_order

DATA = jax.tree.map(jnp.asarray, tiny_workload().train_data)


def rows_by_hand(seed, num_examples, batch_size, num_steps):
    """Rows of each batch: epochs end to end, cut into batches."""
    epochs = num_steps * batch_size // num_examples + 2
    stream = np.concatenate([epoch_order(jnp.int32(seed), jnp.int32(e), num_examples) for e in range(epochs)])
    return [stream[i * batch_size : (i + 1) * batch_size] for i in range(num_steps)]


FOUR, WHOLE = MicroBatch(4), MicroBatch(16, repeated=False)
SPLITS = [
    (1, (MicroBatch(1),)),
    (4, (FOUR,)),
    (6, (FOUR,)),
    (7, (FOUR,)),
    (40, (MicroBatch(16),)),
    (33, (MicroBatch(1),)),
    (7, (WHOLE,)),
    (16, (WHOLE,)),
    (7, (MicroBatch(1), FOUR, WHOLE)),
]


@pytest.mark.parametrize(("batch_size", "micro_batches"), SPLITS)
def test_trial_equals_a_loop_by_hand(batch_size, micro_batches):
    """Batches, epochs that end within a batch, masks, accumulation, update: all against NumPy's rows and full batches."""
    workload, num_steps, rate = tiny_workload(), 12, 0.3
    lane = make_lane(workload, as_optimizer(sgd), "loss", micro_batches)
    hparams, size = {"learning_rate": jnp.float32(rate)}, jnp.int32(batch_size)

    @jax.jit
    def one(state, draw):
        return lane.step(hparams, state, draw, size, DATA), draw.next(size)

    state, draw = lane.init(hparams, jnp.int32(3), jnp.bool_(True)), Draw.first(jnp.int32(3), 40)
    w = np.asarray(state.params["w"])
    loss = lambda w, batch: jnp.mean(workload.loss({"w": w}, batch, jax.random.key(0)))
    gradient, data = jax.jit(jax.grad(loss)), jax.tree.map(np.asarray, workload.train_data)
    for rows in rows_by_hand(3, 40, batch_size, num_steps):
        w = w - rate * np.asarray(gradient(w, jax.tree.map(lambda leaf, rows=rows: leaf[rows], data)))
        state, draw = one(state, draw)
    np.testing.assert_allclose(state.params["w"], w, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(("batch_size", "rows"), [(1, [1]), (16, [16]), (20, [16, 16])])
def test_batch_is_split_as_is_cheapest(batch_size, rows):
    workload, seen = tiny_workload(), []

    def loss(params, batch, key):
        jax.debug.callback(lambda: seen.append(len(batch["y"])))
        return workload.loss(params, batch, key)

    draw = Draw.first(jnp.int32(0), 40)
    counted = workload._replace(loss=loss)
    value_and_grad = batch_value_and_grad(
        counted, draw, jnp.int32(batch_size), (MicroBatch(1), MicroBatch(16)), DATA
    )
    jax.block_until_ready(jax.jit(value_and_grad)({"w": jnp.ones((5, 3))}))
    jax.effects_barrier()
    assert seen == rows


def test_batch_of_65536_is_the_same_in_micro_batches_as_in_one():
    """1,024 sums one after the other in float32; the last one of 65,535 has a masked row."""
    workload, rng, size = tiny_workload(), np.random.default_rng(0), 65_536
    x, y = rng.normal(size=(size, 5)).astype(np.float32), rng.integers(3, size=size).astype(np.int32)
    draw, params = Draw.first(jnp.int32(0), size), {"w": jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)}
    data = {"x": jnp.asarray(x), "y": jnp.asarray(y)}

    @partial(jax.jit, static_argnums=1)
    def of_batch(batch_size, micro_batch):
        return batch_value_and_grad(workload, draw, batch_size, (micro_batch,), data)(params)

    for batch_size in (size, size - 1):
        whole = of_batch(jnp.int32(batch_size), MicroBatch(size, repeated=False))
        parts = of_batch(jnp.int32(batch_size), MicroBatch(64))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), parts, whole)


def test_value_of_a_batch_can_be_differentiated():
    workload = tiny_workload()
    draw = Draw.first(jnp.int32(0), 40)
    value_and_grad = batch_value_and_grad(workload, draw, jnp.int32(10), (FOUR,), DATA)
    params = {"w": jnp.ones((5, 3)) * jnp.arange(3.0)[None]}
    value, grads = jax.value_and_grad(differentiable_value(value_and_grad))(params)
    expected_value, expected = value_and_grad(params)
    np.testing.assert_allclose(value, expected_value)
    np.testing.assert_allclose(grads["w"], expected["w"])


def test_optimizer_gets_the_functions_of_its_batch():
    """What L-BFGS and SAM need: value, gradient, and both as functions, all of the same batch."""
    seen = {}

    def optimizer(hparams):
        def update(updates, state, params=None, **given):
            seen.update(
                value=given["value"] - given["value_fn"](params),
                grad=jax.tree.map(jnp.subtract, given["grad"], given["grad_fn"](params)),
            )
            return updates, state

        return optax.GradientTransformationExtraArgs(lambda params: (), update)

    workload = tiny_workload()
    lane = make_lane(workload, as_optimizer(optimizer), "loss", (FOUR,))
    state = lane.init({}, jnp.int32(0), jnp.bool_(True))
    lane.step({}, state, Draw.first(jnp.int32(0), 40), jnp.int32(10), DATA)
    assert abs(float(seen["value"])) < 1e-6
    np.testing.assert_allclose(seen["grad"]["w"], 0.0, atol=1e-7)


def test_dead_lane_stays_as_it_was():
    workload = tiny_workload()
    lane = make_lane(workload, as_optimizer(sgd), "loss", (FOUR,))
    hparams = {"learning_rate": jnp.float32(0.1)}
    state = lane.init(hparams, jnp.int32(0), jnp.bool_(True))
    state = state._replace(params={"w": state.params["w"].at[0, 0].set(jnp.nan)})
    after = lane.step(hparams, state, Draw.first(jnp.int32(0), 40), jnp.int32(4), DATA)
    assert not after.alive
    np.testing.assert_array_equal(after.params["w"], state.params["w"])


def test_evaluation_leaves_padding_out():
    workload = tiny_workload()
    lane = make_lane(workload, as_optimizer(sgd), "loss", (FOUR,))
    state = lane.init({"learning_rate": jnp.float32(0.1)}, jnp.int32(0), jnp.bool_(True))
    state = state._replace(params={"w": jnp.arange(15.0).reshape(5, 3)})
    rows = np.array([[0, 1, 2], [3, 4, 0]])
    mask = jnp.array([[True, True, True], [True, True, False]])
    blocks = jax.tree.map(lambda leaf: leaf[rows], workload.eval_data)
    five = jax.tree.map(lambda leaf: leaf[:5], workload.eval_data)
    expected = jnp.mean(workload.evaluate(state.params, five)["loss"])
    np.testing.assert_allclose(lane.evaluate(state, blocks, mask), expected, rtol=1e-6)


@pytest.mark.parametrize(("first", "number"), [(0, 20), (17, 7), (3, 1)])
def test_evaluation_of_a_part_goes_around_the_order(first, number, monkeypatch):
    monkeypatch.setitem(held_out_blocks.PART_ROWS, jax.default_backend(), 4)
    workload = tiny_workload()
    lane = make_lane(workload, as_optimizer(sgd), "loss", (FOUR,))
    state = lane.init({"learning_rate": jnp.float32(0.1)}, jnp.int32(0), jnp.bool_(True))
    state = state._replace(params={"w": jnp.arange(15.0).reshape(5, 3)})
    blocks, _ = held_out_blocks.in_blocks(workload.eval_data, 6)  # 20 rows and one of padding
    order = held_out_blocks.shuffled(20)
    chosen = order[(first + np.arange(number)) % 20]
    part = jax.tree.map(lambda leaf: leaf[chosen], workload.eval_data)
    expected = jnp.mean(workload.evaluate(state.params, part)["loss"])
    value = jax.jit(lane.evaluate_part)(state, blocks, order, first, number)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_the_order_of_held_out_rows_is_a_shuffle():
    order = held_out_blocks.shuffled(1_000)
    np.testing.assert_array_equal(np.sort(order), np.arange(1_000))
    assert abs(np.corrcoef(order, np.arange(1_000))[0, 1]) < 0.1
