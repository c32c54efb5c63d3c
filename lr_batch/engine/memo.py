"""What is worked out from a study's functions by tracing them, once for the same functions and shapes."""

from __future__ import annotations

import dataclasses
import functools
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import jax

from lr_batch.study import Study

T = TypeVar("T")
MAX_VALUES = 256  # that each function remembers; the oldest is forgotten


def once_per_program(*fields: str) -> Callable[[Callable[[Study], T]], Callable[[Study], T]]:
    """Makes `study -> value` remember its values for studies that train by the same program.

    Args:
      fields: names of what else of the study the value depends on, beside what `program_key` holds.
    """

    def remembering(function: Callable[[Study], T]) -> Callable[[Study], T]:
        @functools.lru_cache(MAX_VALUES)
        def value(asked: _Asked) -> T:
            return function(asked.study())

        @functools.wraps(function)
        def remembered(study: Study) -> T:
            also = tuple(getattr(study, name) for name in fields)
            return value(_Asked((program_key(study), also), weakref.ref(study)))

        return remembered

    return remembering


def program_key(study: Study) -> Hashable:
    """A key that is equal for studies whose lanes are the same program: functions, schedule, shapes, micro-batch,
    metric, names of hyperparameters."""
    workload = study.workload
    shapes = [
        (leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves((workload.train_data, workload.eval_data))
    ]
    structure = jax.tree.structure((workload.train_data, workload.eval_data))
    return (
        *(workload.init, workload.loss, workload.evaluate, workload.micro_batch),
        *(workload.weights, tuple(workload.metrics.items())),
        workload.statistics and (*_functions(workload.statistics), workload.group, workload.statistics.mode),
        *(_functions(study.optimizer), _functions(study.regularizer or ())),
        study.schedule and study.schedule.name,
        *(study.goal.metric, tuple(study.space), tuple(shapes), structure),
    )


def _functions(row: tuple) -> tuple:
    """Those of a row of `optim` or `reg`; its default grid and its source do not change a program."""
    return tuple(field for field in row if callable(field))


@dataclasses.dataclass(frozen=True)
class _Asked:
    """The key of a value, and the study to work it out from: not kept, since its data may be large."""

    key: Hashable
    study: Callable[[], Any] = dataclasses.field(compare=False)
