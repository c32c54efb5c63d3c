"""Lanes that are let go before their race is over, where their steps to the goal are known or almost surely too many.

A race ends at `slack` times the steps of its first lane, and until then trains all lanes. Where it is brisk, two
kinds of them are let go from the first lane on: those that have reached the goal, and those that are behind, see
`lr_batch.lanes.race`. The first lose the rest of their curves alone; a tighter goal cannot be read off them. The
others count as they do where a race cuts them: as trials that did not reach the goal in the steps that they were
trained for, which is true of those that would have, too.

Replayed on the curves of whole studies (`python -m runs.recipes.lost_lanes`; `runs/results/lost_lanes` has the
table): see there how many were misjudged, how far answers moved, and what was saved. Where all lanes are batched, as
on accelerators and for small networks, a lane that is let go takes its time all the same: there it is refused.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lr_batch.problem.reaching import AVERAGE
from lr_batch.problem.workload import VMAP
from optim.arguments import shown

SAFETY = 3.0  # times the slack, where it would be 1 if curves were one curve on other scales of time
BRISK = "brisk: lanes were let go that had reached the goal or were almost surely lost"


def read_brisk(value: Any, slack: float, reached: str, *, searched: bool) -> bool:
    """Whether such lanes are let go."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"study: brisk must be True or False, got {shown(value)}")
    refused = {
        "for a search, which compares trials at their ends; leave it out": searched,
        "for a study without a race; give a finite slack (--racing)": not math.isfinite(slack),
        f"where a first evaluation reaches the goal; take reached {AVERAGE!r}": reached != AVERAGE,
    }
    for reason, holds in refused.items():
        if value and holds:
            raise ValueError(f"study: brisk cannot be had {reason}")
    return bool(value)


def behind(slack: float, *, brisk: bool) -> float:
    """As of `lr_batch.lanes.race.Terms`."""
    return SAFETY * float(slack) if brisk else 0.0


def refuse_batched(name: str, execution: str, width: int, *, brisk: bool) -> None:
    """Raises ValueError where lanes that are let go would take their time all the same."""
    if brisk and execution == VMAP and width > 1:
        raise ValueError(
            f"study: brisk saves nothing where all lanes are batched, as those of {name} are here; leave it out, or take "
            "lanes 'blocks' or 'map'"
        )
