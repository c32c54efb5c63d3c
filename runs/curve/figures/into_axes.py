"""The figures of one study, drawn into axes of somebody else's figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lr_batch import Result
from runs.curve.analysis import Analysis
from runs.curve.figures.goals import draw_goals
from runs.curve.figures.heatmap import draw_heatmap
from runs.curve.figures.learning_rate import draw_learning_rate
from runs.curve.figures.lineages import draw_lineages
from runs.curve.figures.protocols import draw_protocols
from runs.curve.figures.ranges import draw_ranges
from runs.curve.figures.steps_to_goal import draw_steps_to_goal
from runs.curve.figures.training_curves import draw_training_curves
from runs.plots import style

ONE_PANEL = {
    "steps_to_goal": draw_steps_to_goal,
    "learning_rate": draw_learning_rate,
    "heatmap": draw_heatmap,
    "goals": draw_goals,
}
SEVERAL = {
    "training_curves": draw_training_curves,
    "protocols": draw_protocols,
    "ranges": draw_ranges,
    "lineages": draw_lineages,
}
TITLE_PAD = 15.0  # points: above the strip of regimes, and at one height beside it


def draw_into(axes: Any, name: str, result: Result, outcome: Analysis) -> None:
    """Draws the figure `name`, with the study for its title; `axes` are one, or as many as it has panels."""
    panels = _panels(axes, name, result)
    for panel in panels:
        style.dress(panel)
    if name in ONE_PANEL:
        ONE_PANEL[name](panels[0], result, outcome)
    else:
        SEVERAL[name](panels, result, outcome)
    study = f"{style.plain(result.workload, 24)} · {style.plain(result.optimizer, 24)}"
    panels[0].set_title(study, loc="left", fontsize=10, color=style.INK, pad=TITLE_PAD)


def _panels(axes: Any, name: str, result: Result) -> list[Axes]:
    given = np.ravel(np.asarray(axes, object)).tolist()
    if not all(isinstance(one, Axes) for one in given):
        raise ValueError(f"axes: must be matplotlib axes, such as plt.subplots() makes, got {axes!r}")
    wanted = 1 if name in ONE_PANEL else 2
    if name in ("ranges", "lineages") and result.searched:
        wanted = len(result.searched.axes)
    if len(given) != wanted:
        panels = "one panel" if wanted == 1 else f"{wanted} panels"
        raise ValueError(f"axes: {name} has {panels}, give as many axes, got {len(given)}")
    return given
