"""Streamed studies: the numbers of those that hold their data, bit for bit, in windows of whole steps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from tiny import tiny_study, tiny_workload

import lr_batch
from lr_batch.engine import Checkpoint, ChunkPlan, Identity, Programs, run_task, worker_devices
from lr_batch.engine.placement import streamed
from lr_batch.engine.windows import Windows, window_rows
from lr_batch.lanes.order import epoch_order
from lr_batch.problem.column import Column, columns_of, read_rows, read_whole


def small(**changes):
    """On 40 examples, so that an epoch has several windows and evaluations at batch size 1 several epochs."""
    return tiny_study(**({"batch_sizes": (1, 6), "seeds": 1, "budget": 120} | changes))


def as_streamed(study):
    return dataclasses.replace(study, workload=streamed(study.workload, True))


def same(one, other):
    np.testing.assert_array_equal(one.steps_to_goal, other.steps_to_goal)
    for ours, theirs in zip(one.curves, other.curves, strict=True):
        np.testing.assert_array_equal(ours.steps, theirs.steps)
        np.testing.assert_array_equal(ours.values, theirs.values)


@pytest.mark.usefixtures("own_compiler")
def test_streamed_and_resident_studies_are_the_same_study_with_the_same_numbers():
    study = small(batch_schedule="x2@40")
    other = as_streamed(study)
    assert other.streamed and not study.streamed
    assert Identity.of(study, 4, "vmap") == Identity.of(other, 4, "vmap")
    result = lr_batch.run(study)
    assert np.isfinite(result.steps_to_goal).any()
    said = []
    same(result, lr_batch.run(other, on_chunk=lambda progress: said.append(progress.waiting)))
    assert 0 < said[-1] < 1


@pytest.mark.usefixtures("own_compiler")
def test_batch_statistics_are_the_same_too():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool):
            return nn.Dense(3)(nn.BatchNorm(not train, momentum=0.9)(x))

    plain = tiny_workload()
    pair = lambda data: (data["x"], data["y"])
    made = lr_batch.from_arrays(
        Net(),
        train=pair(plain.train_data),
        held_out=pair(plain.eval_data),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal="loss<0.5",
        group_size=4,
        statistics="recomputed",
    )
    study = small(workload=made, batch_sizes=(4,), budget=30)
    same(lr_batch.run(study), lr_batch.run(as_streamed(study)))


class Kept(dict):
    """A store in memory."""

    def load(self, chunk):
        return self.get(chunk.id)

    def save(self, chunk, outcome):
        self[chunk.id] = outcome


def test_a_stopped_chunk_goes_on_at_its_step(monkeypatch):
    study, programs, store = as_streamed(small(slack=float("inf"))), Programs(), Kept()
    plan = ChunkPlan.of(study)
    task = plan.tasks(6, 0, study.settings)[0]
    run = lambda **options: run_task(study, task, worker_devices()[0], programs, **options)
    whole = run()
    asked = iter([False, True])
    assert run(store=store, is_late=lambda: next(asked)) is None
    step = store[task.chunk.id].step
    assert isinstance(store[task.chunk.id], Checkpoint) and 0 < step < 120
    read = []
    plain = Windows.read
    monkeypatch.setattr(Windows, "read", lambda w, n, *args: read.append(w.begins(n)) or plain(w, n, *args))
    rows = run(store=store)
    assert min(read) == step and len(read) < 120
    np.testing.assert_array_equal(rows.values, whole.values)
    np.testing.assert_array_equal(rows.steps_to_goal, whole.steps_to_goal)


@pytest.mark.parametrize("first", [0, 3, 17])
def test_windows_hold_the_examples_of_their_steps_in_the_order_of_the_device(first):
    data = {"x": np.arange(10) * 1.0, "y": np.arange(10)}
    order = jax.jit(lambda epoch: epoch_order(jnp.int32(5), epoch, 10))
    orders = np.concatenate([np.asarray(order(jnp.int32(epoch))) for epoch in range(20)])
    for size in (3, 10, np.array([[0, 2], [4, 5]])):
        windows = Windows(5, size, 10, first, 20)
        sizes = [size if isinstance(size, int) else (2 if step < 4 else 5) for step in range(20)]
        ends = np.cumsum([0, *sizes])
        read = [windows.read(number, columns_of(data)) for number in range(windows.count)]
        assert {leaf.shape for window in read for leaf in window.values()} == {(10,)}
        for number, window in enumerate(read):
            steps = windows.begins(number), windows.begins(number + 1)
            wanted = orders[ends[steps[0]] : ends[steps[1]]]
            np.testing.assert_array_equal(window["y"][: len(wanted)], wanted)
            np.testing.assert_array_equal(window["y"][len(wanted) :], wanted[-1])  # examples, no zeros
            np.testing.assert_array_equal(window["x"], window["y"])
        assert windows.begins(0) == first and windows.begins(windows.count) == 20


def test_columns_are_read_like_arrays_and_together():
    x, y = np.random.RandomState(0).randn(9, 2, 3).astype(np.float32), np.arange(9, dtype=np.int32)
    columns = columns_of({"x": x, "y": y})
    for rows in (slice(2, 5), [4, 0], 3, np.array([[1], [8]]), -1):
        np.testing.assert_array_equal(columns["x"][rows], x[rows])
    np.testing.assert_array_equal(columns["x"].flat()[:2], x[:2].reshape(2, 6))
    reads, source = [], columns["x"].source
    plain = source.read
    source.read = lambda rows, names: reads.append(list(names)) or plain(rows, names)
    np.testing.assert_array_equal(read_rows(columns, np.array([7, 2]))["y"], [7, 2])
    assert [len(names) for names in reads] == [2]
    np.testing.assert_array_equal(read_whole(columns)["x"], x)
    assert lr_batch.num_examples(columns) == 9 and columns["y"].nbytes == y.nbytes


def test_what_is_too_large_streams_by_itself(monkeypatch):
    workload = tiny_workload()
    assert streamed(workload) is workload
    monkeypatch.setattr("lr_batch.engine.placement.memory_budget", lambda: 1_000.0)
    with monkeypatch.context() as without_grain:
        without_grain.setattr("lr_batch.engine.placement.can_read_ahead", lambda: False)
        assert streamed(workload) is workload
        assert (
            streamed(as_columns := workload._replace(train_data=columns_of(workload.train_data)))
            is as_columns
        )
    large = streamed(workload)
    assert all(isinstance(leaf, Column) for leaf in large.train_data.values())
    assert streamed(large) is large
    held = streamed(large, False).train_data
    np.testing.assert_array_equal(held["x"], workload.train_data["x"])


def test_a_window_has_room_for_the_largest_batch_and_few_bytes():
    workload = tiny_workload()
    assert window_rows(workload, (1, 4)) == 40 and window_rows(workload, (1, 90)) == 90
    wide = workload._replace(train_data={"x": np.zeros((500, 1_000_000), np.float32)})
    assert window_rows(wide, (1, 4)) == 16
