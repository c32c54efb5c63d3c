"""Figures of one study for papers, drawn from a result and what was read off it."""

from runs.curve.figures.goals import goals
from runs.curve.figures.heatmap import heatmap
from runs.curve.figures.into_axes import draw_into
from runs.curve.figures.learning_rate import learning_rate
from runs.curve.figures.protocols import protocols
from runs.curve.figures.ranges import ranges
from runs.curve.figures.steps_to_goal import steps_to_goal
from runs.curve.figures.training_curves import training_curves

FIGURES = {draw.__name__: draw for draw in (steps_to_goal, learning_rate, heatmap, training_curves, goals)}
# Of a study whose settings a search proposes, beside the others.
SEARCH_FIGURES = {draw.__name__: draw for draw in (protocols, ranges)}

__all__ = [
    "FIGURES",
    "SEARCH_FIGURES",
    "draw_into",
    "goals",
    "heatmap",
    "learning_rate",
    "protocols",
    "ranges",
    "steps_to_goal",
    "training_curves",
]
