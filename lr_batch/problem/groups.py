"""Batch statistics as a study asks for them: the examples of a group, and what the model is evaluated with."""

from __future__ import annotations

from typing import Any

import numpy as np

from lr_batch.problem.statistics import MODES
from lr_batch.problem.workload import Workload, num_examples
from optim.names import unknown


def check_mode(owner: str, mode: Any) -> None:
    """Raises ValueError, in one line, where it is no way to evaluate batch statistics."""
    if mode not in MODES:
        raise ValueError(f"{owner}: {unknown('statistics', mode, MODES)}")


def checked_group(owner: str, group: Any, examples: int, micro_batch: int) -> int:
    """The examples that are normalised together.

    Raises:
      ValueError: in one line: no whole number of examples, or more than there are or than a micro-batch has.
    """
    if isinstance(group, bool) or not isinstance(group, int | np.integer) or not 1 <= group <= examples:
        raise ValueError(
            f"{owner}: group_size must be a whole number from 1 to the {examples} training examples, got {group!r}"
        )
    if micro_batch < group:
        raise ValueError(
            f"{owner}: micro_batch must be at least the {group} examples of a group, got {micro_batch}"
        )
    return int(group)


def with_statistics(workload: Workload, mode: str | None, group: int | None) -> Workload:
    """The workload evaluated with other statistics, or normalised in other groups; None leaves its own.

    Of its default batch sizes those stay that are multiples of the group.

    Raises:
      ValueError: in one line: the model has no batch statistics, or what `checked_group` says.
    """
    if mode is None and group is None:
        return workload
    if mode is not None:
        check_mode("study", mode)
    if (statistics := workload.statistics) is None:
        name = "group_size" if mode is None else "statistics"
        raise ValueError(
            f"study: {name} is of batch statistics, of which the model of {workload.name} keeps none; leave it out"
        )
    size = statistics.group
    if group is not None:
        size = checked_group("study", group, num_examples(workload.train_data), workload.micro_batch)
    sizes = tuple(batch for batch in workload.batch_sizes if batch % size == 0) or (size,)
    changed = statistics._replace(group=size, mode=mode or statistics.mode)
    return workload._replace(statistics=changed, batch_sizes=sizes)


def in_use(workload: Workload) -> dict[str, Any]:
    """What a study may change of its workload, as it is: None where the model or its data have no such thing."""
    statistics, augment = workload.statistics, workload.augment
    return {
        "statistics": statistics and statistics.mode,
        "group_size": statistics and statistics.group,
        "augment": augment and augment.name,
    }
