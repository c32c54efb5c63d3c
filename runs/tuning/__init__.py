"""Tuning: a search strategy whose proposals are lanes of chunks."""

from runs.tuning.plan import TuningPlan
from runs.tuning.tune import Tuning, tune

__all__ = ["Tuning", "TuningPlan", "tune"]
