"""A finished comparison of widths again, from its folder: losses from the stores, layers from the summary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hparam import CoordinateCheck
from lr_batch import Result, StudyError
from runs.curve.run import stored_result
from runs.folder import kind_of, part
from runs.kept_json import read_kept
from runs.store import StoreError
from runs.stored_study import unfinished
from runs.transfer.family import PARAMETERIZATIONS
from runs.transfer.outcome import About, Checks, named, write_outcome
from runs.transfer.run import TransferPlan

FIELDS = ("widths", "rates", "batch_sizes", "steps", "seeds", "schedule")  # of a plan, in the description


def write_stored(folder: Path) -> dict[str, Any]:
    """Summary, page and figures of a folder of `lr-batch transfer` once more, without training anything.

    Raises:
      StoreError: it has not come to its end.
    """
    known = kind_of(folder)
    fields: dict[str, Any] = {name: known.study[name] for name in FIELDS}
    for name in ("widths", "rates", "batch_sizes"):
        fields[name] = tuple(fields[name])
    plan = TransferPlan(**fields)
    try:
        before = read_kept(folder / "summary.json")
        optimizer, checks = str(before["optimizer"]), checks_of(before)
        results = {
            name: [_width(folder, name, width, plan) for width in plan.widths] for name in PARAMETERIZATIONS
        }
    except (FileNotFoundError, StudyError, StoreError, ValueError, LookupError, TypeError):
        raise unfinished(folder, known) from None
    name = named(known.study["workload"], known.study["options"])
    about = About(name, optimizer, known.study["measured"])
    return write_outcome(about, plan, results, checks, folder)


def _width(folder: Path, name: str, width: int, plan: TransferPlan) -> Result:
    """The trials of one width, in the order of batch sizes, seeds and rates."""
    result = stored_result(part(folder, f"{name}-{width}"))
    if result.num_trials != len(plan.batch_sizes) * plan.seeds * len(plan.rates):
        raise StudyError(f"{name}, width {width}: trials are missing")
    return result


def checks_of(summary: Mapping[str, Any]) -> Checks:
    """The coordinate checks of a summary; {} where it has none, or none of which each step was kept."""
    sides = {name: summary[name]["coordinates"] for name in PARAMETERIZATIONS}
    if not all(side and "change" in side for side in sides.values()):
        return {}
    widths = tuple(summary["widths"])
    return {
        name: CoordinateCheck(
            widths,
            tuple(side["size_exponents"]),
            *(np.array(side[what], np.float32) for what in ("size", "change")),
        )
        for name, side in sides.items()
    }
