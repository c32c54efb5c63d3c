"""What people run: the command line, recipes, the store, figures, the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runs.opened import open_folder as open
    from runs.opened import run_study as run
    from runs.store import Store

__all__ = ["Store", "open", "run"]


def __getattr__(name: str):
    """Imported when it is used, since it needs JAX: `lr-batch --help` should not wait for that."""
    if name == "Store":
        from runs.store import Store

        return Store
    if name == "open":
        from runs.opened import open_folder

        return open_folder
    if name == "run":
        from runs.opened import run_study

        return run_study
    raise AttributeError(f"module 'runs' has no attribute {name!r}")
