"""Studies, and what is measured on them, from which calls of the public API are made: each once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import lr_batch
from runs.load import named_or_loaded
from runs.recipes.made_up_study import BATCH_SIZES, made_up_study


class Later(NamedTuple):
    """An argument that takes training to make, made when it is drawn, once."""

    made: Callable[[], Any]


class Kept(dict):
    """A store in memory."""

    def load(self, chunk: Any) -> Any:
        return self.get(chunk.id)

    def save(self, chunk: Any, rows: Any) -> None:
        self[chunk.id] = rows


@cache
def workload() -> lr_batch.Workload:
    return named_or_loaded("workload", "my.py:workload")


@cache
def study() -> lr_batch.Study:
    grid = {"learning_rate": [0.1, 0.5]}
    return lr_batch.Study(
        workload=workload(), batch_sizes=(4, 8), space=grid, seeds=2, extend=False, budget=20
    )


@cache
def result() -> lr_batch.Result:
    return lr_batch.run(study())


@cache
def curves() -> lr_batch.Result:
    """Of enough batch sizes for a curve."""
    return made_up_study(0.3 / (1 + 20 / np.array(BATCH_SIZES)), 0)


@cache
def fits() -> lr_batch.Generalization:
    grid = {"learning_rate": [0.1, 0.5]}
    regularized = lr_batch.Study(workload=workload(), batch_sizes=(8,), space=grid, seeds=2, regularizer="l2")
    return lr_batch.generalize(regularized, 1.0)
