"""Where training examples are held: in the memory of the device, or on the disk or the host, from where they stream."""

from __future__ import annotations

import jax

from lr_batch.data.read_ahead import can_read_ahead
from lr_batch.engine.memory import memory_budget
from lr_batch.problem.column import columns_of, is_streamed, lies_in_memory, read_whole
from lr_batch.problem.workload import Workload
from optim.arguments import explain_arguments, type_of

SHARE = 0.5  # of what a chunk may take: the rest is for its lanes


@explain_arguments
def streamed(workload: Workload, on: bool | None = None) -> Workload:
    """The workload with its training examples streamed, or held in memory; its numbers are the same bit for bit.

    Args:
      workload: with arrays, or with columns such as those of `lr_batch.records`.
      on: True streams: from the disk where they are columns, else from the memory of the host. False reads all of
        them into memory, from where those that are augmented still go to the device in windows. None streams where they
        would take more than half of the memory that a chunk may have.
    """
    if not isinstance(workload, Workload):
        raise ValueError(f"streamed: workload must be a Workload, got {type_of(workload)}")
    if on is None:
        large = sum(leaf.nbytes for leaf in jax.tree.leaves(workload.train_data)) > SHARE * memory_budget()
        # What has been made in memory can be trained from there, if by fewer trials at a time, without Grain.
        on = large and (is_streamed(workload.train_data) or can_read_ahead())
    data = workload.train_data
    if workload.augment:  # what is augmented comes in windows, wherever it is held
        return (
            workload
            if on or lies_in_memory(data)
            else workload._replace(train_data=columns_of(read_whole(data)))
        )
    if on == is_streamed(data):
        return workload
    return workload._replace(train_data=(columns_of if on else read_whole)(data))
