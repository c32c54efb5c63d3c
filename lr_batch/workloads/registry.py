"""Workloads by name, by name and scale, and by names of an earlier version."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from optim.names import Registry


class WorkloadRegistry(Registry):
    """Factories by name; "NAME-SCALE" is the factory of that name at one of its scales.

    Args:
      rows: factories by name.
      renamed: earlier name -> name.
    """

    def __init__(self, rows: Mapping[str, Callable[..., Any]], renamed: Mapping[str, str]):
        super().__init__("workload", rows)
        self.renamed = renamed

    def __missing__(self, name: str) -> Any:
        if name in self.renamed:
            now = self.renamed[name]
            warnings.warn(f"the workload {name} is now called {now}", FutureWarning, stacklevel=3)
            return self[now]
        base, dash, scale = name.partition("-")
        if not dash:
            return super().__missing__(name)
        factory = self[base]
        if "scale" not in inspect.signature(factory).parameters:
            raise ValueError(f"workload {base} has one scale, got {scale!r}")
        return partial(factory, scale=scale)
