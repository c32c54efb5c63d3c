"""What is worked out from a study's functions by tracing them, once for the same functions and shapes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from lr_batch.study import Study

T = TypeVar("T")


def once_per_program(*fields: str) -> Callable[[Callable[[Study], T]], Callable[[Study], T]]:
    """Makes `study -> value` remember its values for studies that train by the same program.

    Args:
      fields: names of what else of the study the value depends on, beside its functions, the shapes of its data,
        its largest micro-batch, its metric and the names of its hyperparameters.
    """

    def remembering(function: Callable[[Study], T]) -> Callable[[Study], T]:
        values: dict[str, tuple[tuple, T]] = {}  # with the functions, so that no other ones get their ids

        @functools.wraps(function)
        def remembered(study: Study) -> T:
            functions = functions_of(study)
            shapes = jax.tree.map(
                lambda leaf: (leaf.shape, leaf.dtype), (study.workload.train_data, study.workload.eval_data)
            )
            also: tuple[Any, ...] = (study.workload.micro_batch, *(getattr(study, name) for name in fields))
            key = repr((*map(id, functions), study.goal.metric, tuple(study.space), shapes, also))
            if key not in values:
                values[key] = functions, function(study)
            return values[key][1]

        return remembered

    return remembering


def functions_of(study: Study) -> tuple:
    workload, optimizer = study.workload, study.optimizer
    return (
        workload.init,
        workload.loss,
        workload.evaluate,
        optimizer.make,
        optimizer.eval_params,
        study.regularizer,
    )
