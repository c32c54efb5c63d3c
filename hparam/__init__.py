"""Search strategies (ask and tell), tuning with them, and parameterizations (`hparam.mup`).

`tune(plan)` searches; it prints and stores nothing by itself:

    space = hparam.Space({"learning_rate": hparam.log(1e-3, 1.0)})
    study = hparam.study_of(space, {}, workload="digits_mlp", optimizer="sgd", batch_sizes=(64,), budget=200)
    tuning = hparam.tune(hparam.TuningPlan(study, space))
    print(tuning.answer.setting, tuning.answer.reaches)
"""

from hparam.asha import asha
from hparam.bayes import bayes
from hparam.coarse_to_fine import coarse_to_fine
from hparam.config_hash import config_hash
from hparam.design import search_design
from hparam.dimension import Dimension, choice, integer, linear, log, log1m
from hparam.grid import grid
from hparam.hyperband import hyperband
from hparam.mup import CoordinateCheck, Mup, coordinate_check, mup, zero_readout
from hparam.optuna import optuna
from hparam.parse import parse_space
from hparam.population import population
from hparam.quasi_random import quasi_random
from hparam.random import random
from hparam.registry import SEARCHES, Strategy
from hparam.search import FRESH, FULL, Proposal, Search, Segment, State, best, from_settings
from hparam.space import Space
from hparam.successive_halving import successive_halving
from hparam.tuning import Answer, Finalist, Tuning, TuningPlan, study_of, tune

__all__ = [
    "Answer",
    "CoordinateCheck",
    "Dimension",
    "FRESH",
    "FULL",
    "Finalist",
    "Mup",
    "Proposal",
    "SEARCHES",
    "Search",
    "Segment",
    "Space",
    "State",
    "Strategy",
    "Tuning",
    "TuningPlan",
    "asha",
    "bayes",
    "best",
    "choice",
    "coarse_to_fine",
    "config_hash",
    "coordinate_check",
    "from_settings",
    "grid",
    "hyperband",
    "integer",
    "linear",
    "log",
    "log1m",
    "mup",
    "optuna",
    "parse_space",
    "population",
    "quasi_random",
    "random",
    "search_design",
    "study_of",
    "successive_halving",
    "tune",
    "zero_readout",
]
