"""A search strategy with its options, checked."""

from __future__ import annotations

import importlib.util
import inspect
import numbers
from collections.abc import Mapping
from typing import Any

from hparam.grid import affordable_levels, grid_cells
from hparam.registry import SEARCHES
from hparam.search import Search
from hparam.space import Space

KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


def make_strategy(
    owner: str,
    search: str,
    space: Space,
    *,
    trials: int,
    options: Mapping[str, Any],
    lengths: Mapping[str, int] | None = None,
) -> Search:
    """The search by its name.

    Args:
      owner: begins the message of an error.
      search: a name of `hparam.SEARCHES`.
      space: what is searched.
      trials: that it may cost; a grid takes the resolution that it can pay, unless the options say one.
      options: of the strategy.
      lengths: options of strategies with rungs that follow from a budget; options override them.

    Raises:
      ValueError: one line: a package is missing, or an option is unknown or of a wrong kind.
    """
    strategy = SEARCHES[search]
    if strategy.requires and not importlib.util.find_spec(strategy.requires):
        raise ValueError(
            f"{owner}: {search} needs {strategy.requires!r}, which is not installed; "
            f"pip install 'lr-batch[{strategy.requires}]'"
        )
    parameters = dict(list(inspect.signature(strategy.make).parameters.items())[1:])
    for name, value in options.items():
        if name not in parameters:
            listed = ", ".join(parameters) or "none"
            raise ValueError(f"{owner}: {search} has no option {name!r} (known: {listed})")
        _check_kind(f"{owner}: {search}'s {name}", value, parameters[name].default)
    known = {name: value for name, value in (lengths or {}).items() if name in parameters}
    levels = _levels(owner, space, trials, options) if search == "grid" else {}
    return strategy(space, **{**known, **levels, **options})


def _check_kind(what: str, value: Any, default: Any) -> None:
    """An option is of the kind of its default: text, true or false, a number."""
    kind = type(default)
    fits = isinstance(value, numbers.Real if kind is float else numbers.Integral if kind is int else kind)
    free = default is None or isinstance(value, Mapping)
    if not free and not (fits and isinstance(value, bool) == (kind is bool)):
        raise ValueError(f"{what} must be {KINDS.get(kind, 'a name')}, got {value!r}")


def _levels(owner: str, space: Space, trials: int, options: Mapping[str, Any]) -> dict[str, int]:
    """Of a grid: the resolution at which the trials cover the space, unless the options say one."""
    if "levels" not in options:
        return {"levels": affordable_levels(space, trials)}
    cells = len(grid_cells(space, options["levels"]))
    if cells > trials:
        raise ValueError(
            f"{owner}: levels={options['levels']} is a grid of {cells:,} settings, of which {trials:,} trials "
            f"would leave {cells - trials:,} out; ask for {cells:,} trials or fewer levels"
        )
    return {}
