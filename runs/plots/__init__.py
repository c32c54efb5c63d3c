"""Figures of one study for papers, drawn from a result and what was measured from it."""

from runs.plots.heatmap import heatmap
from runs.plots.learning_rate import learning_rate
from runs.plots.steps_to_goal import steps_to_goal
from runs.plots.training_curves import training_curves

__all__ = ["heatmap", "learning_rate", "steps_to_goal", "training_curves"]
