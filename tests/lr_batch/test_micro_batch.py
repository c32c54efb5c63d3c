"""How a batch is split."""

import jax
import jax.numpy as jnp
import pytest

from lr_batch.micro_batch import cheapest, micro_batch_of, micro_batches_of

SIZES = (*range(1, 130), 1_000, 65_536, 1_000_000)


@pytest.mark.parametrize("largest", (1, 50, 512))
def test_program_chooses_what_was_planned(largest):
    micro_batches = micro_batches_of(SIZES, largest)
    chosen = jax.vmap(lambda size: cheapest(size, micro_batches))(jnp.array(SIZES))
    assert [micro_batches[i] for i in chosen] == [micro_batch_of(size, largest) for size in SIZES]


def test_only_what_the_batch_sizes_want_is_compiled():
    assert micro_batches_of((64, 1024), 512) == (64,)
