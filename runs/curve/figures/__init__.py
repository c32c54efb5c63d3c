"""Figures of one study for papers, drawn from a result and what was read off it."""

from collections.abc import Callable

from matplotlib.figure import Figure

from lr_batch import Result
from runs.curve.figures.goals import goals
from runs.curve.figures.heatmap import heatmap
from runs.curve.figures.into_axes import draw_into
from runs.curve.figures.learning_rate import learning_rate
from runs.curve.figures.lineages import lineages
from runs.curve.figures.protocols import protocols
from runs.curve.figures.ranges import ranges
from runs.curve.figures.steps_to_goal import steps_to_goal
from runs.curve.figures.training_curves import training_curves
from runs.curve.lineages import changed

FIGURES = {draw.__name__: draw for draw in (steps_to_goal, learning_rate, heatmap, training_curves, goals)}
OF_RATE = ("learning_rate", "heatmap")  # which have nothing to show where no trial has one rate
# Of a study whose settings a search proposes, beside the others.
SEARCH_FIGURES = {draw.__name__: draw for draw in (protocols, ranges)}


def figures_of(result: Result) -> dict[str, Callable[..., Figure]]:
    """Those that are written beside a study, by name."""
    if changed(result):
        kept = {name: draw for name, draw in FIGURES.items() if name not in OF_RATE}
        return kept | {lineages.__name__: lineages}
    return FIGURES | (SEARCH_FIGURES if result.searched else {})


__all__ = [
    "FIGURES",
    "SEARCH_FIGURES",
    "draw_into",
    "figures_of",
    "goals",
    "heatmap",
    "learning_rate",
    "lineages",
    "protocols",
    "ranges",
    "steps_to_goal",
    "training_curves",
]
