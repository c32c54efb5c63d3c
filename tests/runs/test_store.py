"""What goes into the store comes out of it, once."""

from __future__ import annotations

import gc
import json
import os
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lr_batch.engine import Checkpoint, Chunk
from runs.store import Store, StoreError, StoreInUse, StudyChanged
from runs.store.study import difference
from tests.runs.store_chunks import IDENTITY, assert_leaves, assert_same, make_chunk, make_result


def test_a_chunk_comes_back_bit_for_bit_after_reopening(tmp_path):
    chunk = make_chunk()
    with Store(tmp_path) as store:
        assert store.load(chunk) is None
        store.save(chunk, make_result(chunk))
    with Store(tmp_path) as store:
        assert_same(store.load(chunk), make_result(chunk))
        assert store.load(make_chunk(seed=1)) is None


def test_the_same_chunk_saved_again_changes_nothing(tmp_path):
    chunk = make_chunk()
    with Store(tmp_path) as store:
        for _ in range(3):
            store.save(chunk, make_result(chunk))
        assert len(list(store.trials())) == 4
        assert store.events == ()


def test_the_first_row_of_a_configuration_is_kept_and_a_different_one_becomes_an_event(tmp_path):
    chunk = make_chunk()
    with Store(tmp_path) as store:
        store.save(chunk, make_result(chunk))
        store.save(chunk, make_result(chunk, salt=1))
        assert_same(store.load(chunk), make_result(chunk))
        assert len(store.events) == 4
        assert all("came out different" in event for event in store.events)


def test_a_grid_that_shares_trials_with_another_adds_only_its_own(tmp_path):
    first, second = make_chunk(), make_chunk(rates=(0.1, 0.2, 0.4, 0.8, 1.6))
    longer = make_result(first)._replace(eval_steps=np.array([1, 2, 4, 8, 16, 24]))
    with Store(tmp_path) as store:
        store.save(first, longer)
        store.save(second, make_result(second))
        assert len(list(store.trials())) == 5
        found = store.load(second)
    np.testing.assert_array_equal(found.eval_steps, [1, 2, 4, 8, 16, 24, 32])
    np.testing.assert_array_equal(found.values[[0, 1, 2, 3, 4, 5], :4], longer.values)
    np.testing.assert_array_equal(found.values[[0, 1, 2, 3, 4, 6], 4], make_result(second).values[:, 4])
    assert np.isnan(found.values[6, :4]).all() and np.isnan(found.values[5, 4])
    assert found.status == (*longer.status, "reached")


def test_trials_drop_what_was_not_trained_and_come_in_no_order_of_arrival(tmp_path):
    chunks = [make_chunk(batch_size, seed) for batch_size in (4, 8) for seed in (0, 1)]
    listings = []
    for name, order in (("forward", chunks), ("backward", chunks[::-1])):
        with Store(tmp_path / name) as store:
            for chunk in order:
                store.save(chunk, make_result(chunk))
            listings.append([t._replace(curve=t.curve.values.tobytes()) for t in store.trials()])
            first = next(store.trials())
    assert listings[0] == listings[1]
    assert [(t.batch_size, t.seed) for t in listings[0][::4]] == [(4, 0), (4, 1), (8, 0), (8, 1)]
    assert first.curve.steps.tolist() == [1, 2]
    assert first.hparams == {"learning_rate": 0.1} and first.steps_to_goal is None


def test_every_row_says_where_it_was_made(tmp_path):
    chunk = make_chunk()
    with Store(tmp_path) as store:
        store.save(chunk, make_result(chunk))
        row, chunk_row = store.trial_rows()[0], store.chunks()[0]
    assert (row.width, row.device, row.precision) == (4, "cpu", "float32")
    assert set(json.loads(row.versions)) == {"jax", "jaxlib", "optax", "numpy", "lr-batch"}
    assert json.loads(row.versions)["jax"] == jax.__version__
    assert json.loads(chunk_row.identity) == IDENTITY.described()
    assert (chunk_row.id, chunk_row.seconds, json.loads(chunk_row.events)) == (chunk.id, 1.5, ["halved"])


def test_threads_save_at_the_same_time(tmp_path):
    chunks = [make_chunk(batch_size, seed) for batch_size in range(1, 11) for seed in range(2)]
    with Store(tmp_path, full_sync=False) as store:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda chunk: store.save(chunk, make_result(chunk)), chunks))
        for chunk in chunks:
            assert_same(store.load(chunk), make_result(chunk))
        assert not store.verify()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"steps": np.zeros(3)}, "4 lanes and 6 evaluations"),
        ({"values": np.zeros((4, 6))}, r"values of \(6, 4\), got"),
        ({"eval_steps": np.array([1, 2, 4, 4, 16, 32])}, "must ascend"),
        ({"status": ("reached",) * 3 + ("done",)}, r"\['done'\]"),
    ],
)
def test_a_result_that_does_not_fit_is_refused(tmp_path, change, message):
    chunk = make_chunk()
    with Store(tmp_path) as store:
        with pytest.raises(ValueError, match=message):
            store.save(chunk, make_result(chunk)._replace(**change))
        assert store.load(chunk) is None


def make_carry():
    params = {"dense": [jnp.ones((2, 3), jnp.bfloat16), jnp.arange(3.0)], "empty": jnp.zeros((0, 2))}
    key = jax.random.key_data(jax.random.key(7))
    return (params, optax.adam(0.1).init(params), jnp.array(True), jnp.int32(5), key)


def test_lanes_come_back_as_leaves_and_vanish_when_the_rows_are_in(tmp_path):
    chunk, carry = make_chunk(), make_carry()
    with Store(tmp_path) as store:
        store.save(chunk, Checkpoint(10, carry))
        store.save(chunk, Checkpoint(20, carry))
        store.save(chunk, Checkpoint(30, carry))
        folder = tmp_path / "lanes" / chunk.id
        assert len(list(folder.iterdir())) == 2
        found = store.load(chunk)
        assert_leaves(found, 30, carry)
        jax.tree.unflatten(jax.tree.structure(carry), found.carry)
        store.save(chunk, make_result(chunk))
        assert_same(store.load(chunk), make_result(chunk))
        assert not folder.exists()


def test_threads_save_lanes_at_the_same_time(tmp_path):
    chunks = [make_chunk(seed=seed) for seed in range(4)]
    with Store(tmp_path) as store, ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda chunk: store.save(chunk, Checkpoint(chunk.seed, make_carry())), chunks))
        for chunk in chunks:
            assert_leaves(store.load(chunk), chunk.seed, make_carry())


STUDY = {
    "workload": "toy",
    "goal": "loss < 0.2",
    "batch_sizes": [1, 2],
    "space": {"learning_rate": [0.1, 0.2]},
}


def test_a_study_is_described_once(tmp_path):
    with Store(tmp_path) as store:
        assert store.description is None
        store.describe(STUDY)
        store.describe(STUDY | {"batch_sizes": (1, 2)})
        assert store.description.study == STUDY and store.events == ()


def test_a_changed_grid_is_shown_and_taken_on_request(tmp_path):
    wider = STUDY | {"space": {"learning_rate": [0.1, 0.2, 0.4]}}
    with Store(tmp_path) as store:
        store.describe(STUDY)
        with pytest.raises(StudyChanged, match=r"space.learning_rate: \[0.1, 0.2\] -> \[0.1, 0.2, 0.4\]"):
            store.describe(wider)
        assert store.description.study == STUDY
        store.describe(wider, extend=True)
        assert store.description.study == wider
        (event,) = store.events
        assert event.startswith("study extended: space.learning_rate")


def test_another_study_is_refused_even_on_request(tmp_path):
    with Store(tmp_path) as store:
        store.describe(STUDY)
        with pytest.raises(StudyChanged, match="goal: loss < 0.2 -> loss < 0.1.*another folder"):
            store.describe(STUDY | {"goal": "loss < 0.1"}, extend=True)


def test_differences_are_readable_whatever_their_size():
    old = {"space": {"lr": [i / 7 for i in range(40)]}, "note": "x" * 100}
    changes = difference(old, {"space": {"lr": [0.5]}})
    assert changes == {
        "space.lr": "40 values 0.0 to 5.571428571428571 -> [0.5]",
        "note": f"{'x' * 57}... -> absent",
    }


def test_readers_see_what_is_saved_and_change_nothing(tmp_path):
    chunk = make_chunk()
    with Store(tmp_path) as store:
        store.save(chunk, make_result(chunk))
        with Store(tmp_path, read_only=True) as reader:
            assert_same(reader.load(chunk), make_result(chunk))
            store.save(make_chunk(seed=1), make_result(make_chunk(seed=1)))
            assert len(reader.trial_rows()) == 8
            for attempt in (
                lambda: reader.save(chunk, make_result(chunk)),
                lambda: reader.save(chunk, Checkpoint(1, [])),
                lambda: reader.describe(STUDY),
                lambda: reader.record("x"),
            ):
                with pytest.raises(StoreError, match="opened read-only"):
                    attempt()


def test_a_reader_that_stays_in_a_transaction_does_not_block_the_writer(tmp_path):
    chunk = make_chunk()
    with Store(tmp_path) as store, Store(tmp_path, read_only=True) as reader:
        reader._db.execute("BEGIN")
        assert reader.trial_rows() == []
        store.save(chunk, make_result(chunk))
        assert reader.trial_rows() == []


def test_one_writer_at_a_time(tmp_path):
    with Store(tmp_path):
        with pytest.raises(StoreInUse, match=rf"in use by pid {os.getpid()} since 20\d\d-"):
            Store(tmp_path)
    Store(tmp_path).close()


def test_a_store_nobody_holds_gives_its_folder_free(tmp_path):
    Store(tmp_path)
    gc.collect()
    Store(tmp_path).close()


def test_paths_with_spaces_unicode_and_marks(tmp_path):
    folder, chunk = tmp_path / "größe ✓ 100% #1?mode=ro" / "a b", make_chunk()
    with Store(folder) as store:
        store.save(chunk, Checkpoint(1, [np.zeros(3)]))
        assert store.load(chunk).step == 1
        store.save(chunk, make_result(chunk))
    with Store(folder, read_only=True) as store:
        assert_same(store.load(chunk), make_result(chunk))
    assert [path.name for path in tmp_path.iterdir()] == ["größe ✓ 100% #1?mode=ro"]


def test_names_inside_the_folder_are_hashes(tmp_path):
    chunk = Chunk(IDENTITY._replace(workload="../../escape"), 1, 0, ({"../learning rate": 0.1},))
    with Store(tmp_path / "store") as store:
        store.save(chunk, Checkpoint(1, {"../../x": np.zeros(3)}))
        store.save(make_chunk(), make_result(make_chunk()))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"store.sqlite", "lease.sqlite", "lanes"}
    assert [path.name for path in (tmp_path / "store" / "lanes").iterdir()] == [chunk.id]
