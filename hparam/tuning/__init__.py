"""Tuning: a search strategy whose proposals are lanes of chunks."""

from hparam.tuning.plan import TuningPlan
from hparam.tuning.tune import Tuning, tune

__all__ = ["Tuning", "TuningPlan", "tune"]
