"""How a batch is split."""

import jax
import jax.numpy as jnp
import pytest

from lr_batch.lanes import micro_batch
from lr_batch.lanes.micro_batch import MicroBatch, cheapest, micro_batch_of, micro_batches_of

SIZES = (*range(1, 130), 1_000, 65_536, 1_000_000)


@pytest.mark.parametrize("largest", (1, 50, 512))
def test_program_chooses_what_was_planned(largest):
    micro_batches = micro_batches_of(SIZES, largest)
    chosen = jax.vmap(lambda size: cheapest(size, micro_batches))(jnp.array(SIZES))
    assert [micro_batches[i].examples for i in chosen] == [micro_batch_of(size, largest) for size in SIZES]


def test_only_what_the_batch_sizes_want_is_compiled():
    assert micro_batches_of((64, 1024), 512) == (MicroBatch(64),)


def test_loops_are_left_out_only_where_every_batch_is_one_micro_batch():
    assert micro_batches_of((1, 16), 512) == (MicroBatch(1, repeated=False), MicroBatch(16, repeated=False))
    assert micro_batches_of((16, 32), 512) == (MicroBatch(16),)


def test_a_cpu_has_loops_for_all_micro_batches_or_for_none():
    assert micro_batches_of((1, 2, 16), 512) == (MicroBatch(1), MicroBatch(16))


def test_accelerators_take_whole_batches_up_to_the_largest_micro_batch(monkeypatch):
    monkeypatch.setattr(micro_batch, "ladder", lambda: micro_batch.ACCELERATOR_LADDER)
    for largest in (16, 300, 10_000):
        for batch in micro_batches_of(SIZES, largest):
            assert batch.examples <= largest
        top = max(rung for rung in micro_batch.ACCELERATOR_LADDER.rungs if rung <= largest)
        whole = [size for size in SIZES if size <= top]
        assert all(micro_batch_of(size, largest) >= size for size in whole)
        assert not any(batch.repeated for batch in micro_batches_of(whole, largest))
