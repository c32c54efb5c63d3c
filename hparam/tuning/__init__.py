"""Tuning: a search strategy whose proposals are lanes of chunks. Nothing is printed, and stored only where one asks."""

from hparam.tuning.answer import Answer, answer
from hparam.tuning.confirm import Finalist
from hparam.tuning.plan import TuningPlan, study_of
from hparam.tuning.tune import Told, Tuning, tune

__all__ = ["Answer", "Finalist", "Told", "Tuning", "TuningPlan", "answer", "study_of", "tune"]
