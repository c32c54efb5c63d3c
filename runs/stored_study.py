"""A study as a store describes it: what can be read off it, and nothing that could be trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import reg
from lr_batch import Goal, Study, Workload, as_optimizer
from runs.store import StoreError
from runs.store.study import Description


def stored_study(described: Mapping[str, Any], **fields: Any) -> Study:
    """Names, goal, budget and whatever the description lists; its model and its optimizer cannot be called.

    It goes past the checks of `Study`, which look at a model: they were passed when the folder was made.

    Args:
      described: of the store.
      fields: of the study, where the description has them under another name.
    """
    metric, threshold, *above = described["goal"]
    goal = Goal(metric, 0.0 if threshold is None else threshold, *above)
    name = described.get("regularizer")
    regularizer = reg.REGULARIZERS[name] if name else None
    optimizer = as_optimizer(_absent)._replace(name=described["optimizer"].removesuffix(f" + {name}"))
    known = {
        "workload": Workload(described["workload"], _absent, _absent, _absent, (), (), goal),
        "optimizer": optimizer,
        "regularizer": regularizer,
        "goal": goal,
        "schedule": None,  # its name is part of the optimizer's
        "batch_schedule": None,
        "precision": "float32",
        "design": None,
    }
    listed = {
        name: described[name] for name in ("batch_sizes", "space", "seeds", "budget") if name in described
    }
    study = object.__new__(Study)
    for field, value in {**known, **listed, **fields}.items():
        object.__setattr__(study, field, tuple(value) if isinstance(value, list) else value)
    return study


def unfinished(folder: Path, known: Description) -> StoreError:
    """What is raised where a folder does not hold all that its answer is read off."""
    again = known.command or "the command that made it"
    return StoreError(f"{folder}: not all of it is finished and whole; {again} goes on from there")


def _absent(*args: Any) -> NoReturn:
    raise TypeError("a study that was read from a store has no model")
