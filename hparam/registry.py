"""The search strategies by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hparam.asha import asha
from hparam.bayes import bayes
from hparam.coarse_to_fine import coarse_to_fine
from hparam.grid import grid
from hparam.hyperband import hyperband
from hparam.optuna import optuna
from hparam.population import population
from hparam.quasi_random import quasi_random
from hparam.random import random
from hparam.search import Search
from hparam.space import Space
from hparam.successive_halving import successive_halving
from optim.names import Registry


class Strategy(NamedTuple):
    """A search strategy; calling it makes the search: `SEARCHES["asha"](space, max_steps=900)`.

    Attributes:
      name: how the command line calls it.
      about: what it does, in one sentence.
      make: `(space, **options) -> Search`.
      paper: where it comes from.
      rungs: whether trials are trained in segments; then it takes `max_steps`.
      requires: package that must be installed beside ours, or "".
      adapts: whether proposals depend on losses; where they do not, all can be asked for at once.
      brackets: whether trials go on only once as many as belong together have come to the same rung.
      changes: whether a trial's hyperparameters change while it is trained.
    """

    name: str
    about: str
    make: Callable[..., Search]
    paper: str
    rungs: bool = False
    requires: str = ""
    adapts: bool = True
    brackets: bool = False
    changes: bool = False

    def __call__(self, space: Space, **options) -> Search:
        return self.make(space, **options)


_STRATEGIES = (
    Strategy(
        "grid", "Every combination of evenly spaced values.", grid, "full factorial design", adapts=False
    ),
    Strategy(
        "coarse_to_fine",
        "A coarse grid, then finer ones around the best value so far.",
        coarse_to_fine,
        "grid, zooming around its best cell",
    ),
    Strategy(
        "random",
        "Independent draws from the whole space.",
        random,
        "Bergstra & Bengio, JMLR 2012",
        adapts=False,
    ),
    Strategy(
        "quasi_random",
        "A Sobol sequence: spread more evenly than random draws, and it can be stopped at any time.",
        quasi_random,
        "Sobol 1967; scrambled, Owen 1995",
        adapts=False,
    ),
    Strategy(
        "bayes",
        "A model of the loss (Gaussian process) proposes where an improvement is most to be expected.",
        bayes,
        "Jones et al. 1998; in batches, Ginsbourger et al. 2010",
    ),
    Strategy(
        "successive_halving",
        "Many short trials; the best third goes on for longer, again and again.",
        successive_halving,
        "Jamieson & Talwalkar, AISTATS 2016",
        rungs=True,
        brackets=True,
    ),
    Strategy(
        "hyperband",
        "Successive halving at several trade-offs of many short against few long trials.",
        hyperband,
        "Li et al., JMLR 2018",
        rungs=True,
        brackets=True,
    ),
    Strategy(
        "asha",
        "Successive halving that promotes a trial as soon as it is among the best so far, and never waits.",
        asha,
        "Li et al., MLSys 2020",
        rungs=True,
    ),
    Strategy(
        "population",
        "Trials side by side; the worst are replaced by changed copies of the best while they train.",
        population,
        "Jaderberg et al. 2017, arXiv 1711.09846",
        rungs=True,
        brackets=True,
        changes=True,
    ),
    Strategy(
        "optuna",
        "A sampler of Optuna, such as TPE or CMA-ES; needs the package optuna.",
        optuna,
        "Akiba et al., KDD 2019",
        requires="optuna",
    ),
)

SEARCHES = Registry("search", {strategy.name: strategy for strategy in _STRATEGIES})
