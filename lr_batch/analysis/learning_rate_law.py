"""How the best learning rate moves with the batch size, and which laws it can follow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from lr_batch.analysis.best_settings import best_settings
from lr_batch.analysis.intervals import LEVEL, Estimate, Estimates
from lr_batch.analysis.law_fit import (
    PRIOR_DF,
    REJECTED,
    Fit,
    Supported,
    fit_laws,
    possible,
    winner,
)
from lr_batch.analysis.laws import LAWS, NO_LAW_IN_IT
from lr_batch.analysis.optimum import Optimum, rate_table
from lr_batch.analysis.rate_plane import RATE
from lr_batch.result import Result
from optim.arguments import explain_arguments
from optim.names import listed

MIN_BATCH_SIZES = 4
MAX_SCATTER = 2.0  # about the best law, in units of the errors (Birge's ratio)


class FittedLaw(NamedTuple):
    """One law with its parameters, each with its interval.

    Attributes:
      name: of the law, as in `LAWS`.
      coefficient: r of the formula.
      knee: K in examples per step, None where the law has none.
      power: p where it is fitted, else None.
      score: minus twice the log likelihood, plus 2 for every parameter; small is good.
      p_value: of the law, see `fit_laws`.
      fit, draws: log level, power and log knee, and their redrawn values.
    """

    name: str
    coefficient: Estimate
    knee: Estimate | None
    power: Estimate | None
    score: float
    p_value: float
    fit: Fit
    draws: Fit

    def rate(self, batch_size: Sequence[float] | Num[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Learning rate that the law gives at any batch sizes."""
        return np.exp(self.fit.log_rate(LAWS[self.name], np.log(np.asarray(batch_size, float)))[0])

    @property
    def formula(self) -> str:
        """The law with its own numbers, such as "rate = 1.37 / (1 + 18.6 / B)"."""
        return f"rate = {LAWS[self.name].formula.format(**self._numbers())}"

    @property
    def words(self) -> str:
        """The law in a few words, such as "linear until 16, then flat"."""
        return LAWS[self.name].words.format(**self._numbers())

    def _numbers(self) -> dict[str, str]:
        numbers = {"rate": self.coefficient, "knee": self.knee, "power": self.power}
        return {name: f"{number.best:.3g}" for name, number in numbers.items() if number}


class LearningRateLaw(NamedTuple):
    """Which laws the best rates allow.

    Attributes:
      best: name of the winner: the simplest of those whose fit is within a tie of the best fit.
      laws: all that cannot be told apart from it, the simplest first; a true law is missing in 1 % of studies.
      told: False where even a constant rate and one that grows as sqrt(B) are both possible.
      fits: False where the best rates lie further from every law than their errors allow.
      ranking: every law, the best score first.
      optima: the best rates of the fit.
      level: coverage of the intervals.
      reliable, notes: whether to trust it, and why not.
    """

    best: str
    laws: tuple[FittedLaw, ...]
    told: bool
    fits: bool
    ranking: tuple[FittedLaw, ...]
    optima: tuple[Optimum, ...]
    level: float
    reliable: bool
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        said = self.winner.formula if self.known else self.words
        return f"LearningRateLaw({said}, {'' if self.reliable else 'not '}reliable)"

    @property
    def winner(self) -> FittedLaw:
        return next(law for law in self.ranking if law.name == self.best)

    @property
    def known(self) -> bool:
        """Whether the winner's formula may be used: a law is told and fits, and no best rate of the fit is on an edge."""
        return self.told and self.fits and all(row.edge is None for row in _usable(self.optima)[0])

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest batch size whose best rate was fitted."""
        sizes = [row.batch_size for row in _usable(self.optima)[0]]
        return min(sizes), max(sizes)

    @property
    def apart(self) -> float:
        """Largest factor, over `range`, between the winner's rate and that of a law that cannot be told from it."""
        batch = np.geomspace(*self.range, 50)
        return float(
            np.exp(max(np.abs(np.log(law.rate(batch) / self.rate(batch))).max() for law in self.laws))
        )

    def rate(self, batch_size: Sequence[float] | Num[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Learning rate that the winner gives at any batch sizes."""
        return self.winner.rate(batch_size)

    def rates(self, batch_size: Sequence[float] | Num[np.ndarray, " n"]) -> Estimates:
        """The winner's rate with an interval that holds those of all laws that cannot be told apart."""
        log_b = np.log(np.asarray(batch_size, float))
        return Estimates(*np.exp(self._spans(lambda law, fit: fit.log_rate(LAWS[law.name], log_b))))

    def exponents(self, batch_size: Sequence[float] | Num[np.ndarray, " n"]) -> Estimates:
        """The winner's local exponent d log rate / d log B, with an interval as in `rates`."""
        log_b = np.log(np.asarray(batch_size, float))
        return self._spans(lambda law, fit: fit.exponent(LAWS[law.name], log_b))

    def _spans(self, read: Callable[[FittedLaw, Fit], np.ndarray]) -> Estimates:
        tails = 0.5 - self.level / 2, 0.5 + self.level / 2
        ends = [np.quantile(read(law, law.draws), tails, axis=0) for law in self.laws]
        best = read(self.winner, self.winner.fit)[0]
        low, high = np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)
        return Estimates(best, np.minimum(low, best), np.maximum(high, best))

    @property
    def words(self) -> str:
        """What can be said, such as "linear until 16, then flat, or saturating beyond 19: cannot be told apart"."""
        if not self.told:
            return "no law can be told: a constant rate and one that grows as the root of the batch fit alike"
        if not self.fits:
            return f"no law fits; the nearest one is {self.winner.words}"
        if len(self.laws) == 1:
            return self.winner.words
        *others, last = (law.words for law in self.laws)
        comma = "; " if len(others) > 1 else ", "
        return f"{comma.join([*others, 'or ' + last])}: cannot be told apart"

    # The names of version 0.1: they were p and K of "power until a knee", whichever law was best.
    @property
    def exponent(self) -> float:
        return float(self._first_exponent().best)

    @property
    def low(self) -> float:
        return float(self._first_exponent().low)

    @property
    def high(self) -> float:
        return float(self._first_exponent().high)

    @property
    def knee(self) -> float:
        knee = self.winner.knee
        return knee.best if knee else float(max(o.batch_size for o in self.optima))

    def _first_exponent(self) -> Estimate:
        warnings.warn(
            "LearningRateLaw.exponent, low and high go in the next version: they are the local exponent at the "
            "smallest batch size; exponents(batch_sizes) gives it anywhere",
            DeprecationWarning,
            stacklevel=3,
        )
        smallest = min(o.batch_size for o in self.optima)
        return self.exponents([smallest]).each[0]


def _fitted(law: Supported, level: float) -> FittedLaw:
    """Parameters as people write them, with the quantiles of the redrawn ones."""
    form, tails = LAWS[law.name], [0.5 - level / 2, 0.5 + level / 2]

    def estimate(number: np.ndarray, drawn: np.ndarray) -> Estimate:
        low, high = np.quantile(drawn, tails)
        return Estimate(float(number[0]), float(min(low, number[0])), float(max(high, number[0])))

    return FittedLaw(
        name=law.name,
        coefficient=estimate(np.exp(law.fit.log_level), np.exp(law.draws.log_level)),
        knee=estimate(np.exp(law.fit.log_knee), np.exp(law.draws.log_knee)) if form.has_knee else None,
        power=estimate(law.fit.power, law.draws.power) if form.power is None else None,
        score=law.score,
        p_value=law.p_value,
        fit=law.fit,
        draws=law.draws,
    )


def _usable(optima: Sequence[Optimum]) -> tuple[list[Optimum], tuple[str, ...]]:
    """Optima inside the grid, or all where too few are, with what is wrong with them."""
    found = [o for o in optima if o.learning_rate is not None]
    inside = [o for o in found if o.edge is None]
    if len(inside) == len(found):
        return found, ()
    where = listed("batch size", [o.batch_size for o in found if o.edge])
    if len(inside) >= MIN_BATCH_SIZES:
        return inside, (f"left out, the best rate being at the edge of the grid: {where}",)
    return found, (f"the best rate is at the edge of the grid at {where}: widen the grid",)


def _misfit(law: Supported, num_points: int) -> tuple[str, ...]:
    """A note where the points scatter about the best law by more than their errors."""
    free = num_points - LAWS[law.name].num_parameters
    ratio = float(np.sqrt((law.fit.chi_sq[0] + PRIOR_DF) / (free + PRIOR_DF)))
    if ratio <= MAX_SCATTER:
        return ()
    return (f"no law fits: best rates lie {ratio:.1f} times their errors from the nearest one",)


def _check_rates(result: Result) -> None:
    if RATE not in result.hparams:
        raise ValueError(f"learning_rate_law: no hyperparameter {RATE!r} in {sorted(result.hparams)}")
    if not result.has_rate:
        raise ValueError(
            "learning_rate_law: the search changes settings while they are trained, so none has one rate"
        )


@explain_arguments
def learning_rate_law(
    result: Result | None,
    *,
    level: float = LEVEL,
    resamples: int = 400,
    seed: int = 0,
    optima: Sequence[Optimum] | None = None,
) -> LearningRateLaw:
    """Which laws of `LAWS` the best rates allow: those that are not rejected, and the winner among them.

    Laws are fitted to the best log rate of each batch size, weighted by its error. A law is rejected where
    fewer than 1 % of studies that follow it are fitted worse by it, beside the best law, than this one; a
    law is left out where a special case of it does as well (see `lr_batch.analysis.law_fit`).

    Args:
      result: trials with at least 4 batch sizes that reached the goal at several rates; None where `optima` are given.
      level: coverage of the intervals, in (0, 1).
      resamples: studies that are drawn from each law, >= 200.
      seed: of the resampling.
      optima: `best_settings(result, level=level)` where it is known already.
    """
    if result is None and optima is None:
        raise ValueError("learning_rate_law: needs a result, or its best settings as optima; got neither")
    if result is not None:
        _check_rates(result)
    if not 0 < level < 1:
        raise ValueError(f"learning_rate_law: level must be in (0, 1), got {level}")
    if resamples < 200:
        raise ValueError(f"learning_rate_law: resamples must be >= 200, got {resamples}")
    if optima is None:
        assert result is not None
        optima = best_settings(result, level=level)
    optima = tuple(optima)
    used, notes = _usable(optima)
    if not used and any(o.steps is not None for o in optima):
        raise ValueError("learning_rate_law: needs several learning rates at each batch size, got 1")
    if len(used) < MIN_BATCH_SIZES:
        raise ValueError(
            f"learning_rate_law: needs at least {MIN_BATCH_SIZES} batch sizes that reached the goal, "
            f"got {len(used)}"
        )
    fits = fit_laws(rate_table(used), resamples, seed)
    laws, kept = possible(fits), {law.name for law in fits if law.p_value > REJECTED}
    misfit = _misfit(fits[0], len(used))
    notes += misfit
    return LearningRateLaw(
        best=winner(laws).name,
        laws=tuple(_fitted(law, level) for law in laws),
        told=not kept.issuperset(NO_LAW_IN_IT),
        fits=not misfit,
        ranking=tuple(_fitted(law, level) for law in fits),
        optima=optima,
        level=level,
        reliable=not notes,
        notes=notes,
    )
