"""The best setting at every batch size, where a search proposed the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from lr_batch.analysis.intervals import LEVEL, exp_estimates
from lr_batch.analysis.optimum import LeftOut, Optimum, censored_row, left_out, moderated_spreads
from lr_batch.analysis.rate_fit import RateCells, RateFit
from lr_batch.analysis.rate_plane import RATE, seeds_by_settings
from lr_batch.analysis.surface import Lanes, Posterior, fit_surfaces
from lr_batch.design import CHOICE, Axis
from lr_batch.result import Result

MOMENTUM = "momentum"
# The best setting lies at the end of a range where most models have it in the last part of the range; where nothing is
# known, a quarter of them have it at either end.
END, SURE = 0.02, 0.6


class TrialsAt(NamedTuple):
    """Trials of one batch size; `settings` are the columns of all hyperparameters, one row for each setting."""

    batch_size: int
    settings: Mapping[str, np.ndarray]
    seeds: np.ndarray
    cells: RateCells  # the settings in the place of rates
    examples: Callable[[float], float]  # of so many steps

    @property
    def heard(self) -> np.ndarray:
        """Which seeds reached the goal at some setting."""
        return np.asarray(np.isfinite(self.cells.log_steps).any(1))


def searched_settings(result: Result, *, level: float = LEVEL) -> tuple[Optimum, ...]:
    """Best setting, and steps to the goal there, at every batch size, ascending; see `best_settings`."""
    assert result.searched
    axes = result.searched.axes
    sizes = [trials_at(result, size) for size in np.unique(result.batch_size).tolist()]
    kept = [size for size in sizes if 2 * size.heard.sum() >= len(size.seeds)]
    everyone = sorted({int(seed) for size in sizes for seed in size.seeds})
    surfaces = fit_surfaces(
        [_lanes(size, axes) for size in kept], [size.seeds[size.heard] for size in kept], everyone
    )
    fits = [_fit(size, surface, axes) for size, surface in zip(kept, surfaces, strict=True)]
    rows = {
        size.batch_size: _row(size, surface, fit, spread, axes, everyone, level)
        for size, surface, fit, spread in zip(kept, surfaces, fits, moderated_spreads(fits), strict=True)
    }
    return tuple(
        rows.get(size.batch_size) or censored_row(size.batch_size, size.cells, size.seeds, _fastest(size))
        for size in sizes
    )


def trials_at(result: Result, batch_size: int) -> TrialsAt:
    """The trials of a search at one batch size, seeds by settings."""
    rows = np.flatnonzero(result.batch_size == batch_size)
    table = np.stack([column[rows] for column in result.hparams.values()], axis=1)
    settings, at = np.unique(table, axis=0, return_inverse=True)
    seeds, log_steps, log_bound = seeds_by_settings(result, rows, at.ravel(), len(settings))
    columns = dict(zip(result.hparams, settings.T, strict=True))
    return TrialsAt(
        batch_size,
        columns,
        seeds,
        RateCells(np.log(columns[RATE]), log_steps, log_bound),
        partial(result.examples, batch_size),
    )


def _lanes(size: TrialsAt, axes: Mapping[str, Axis]) -> Lanes:
    """The seeds that reached the goal somewhere."""
    others = [axis.to_unit(size.settings[name]) for name, axis in axes.items() if name != RATE]
    places = np.stack(others, axis=1) if others else np.zeros((len(size.settings[RATE]), 0))
    rate = size.cells.log_rate + _log_gain(size.settings.get(MOMENTUM))
    heard = size.heard
    return Lanes(rate, places, size.cells.log_steps[heard], size.cells.log_bound[heard])


def _log_gain(momentum: np.ndarray | None) -> np.ndarray | float:
    """Log of what the momentum adds to the rate: each gradient counts 1 / (1 - momentum) times in all."""
    return 0.0 if momentum is None else -np.log1p(-momentum)


def _fastest(size: TrialsAt) -> dict[str, float]:
    """The setting that reached the goal soonest with the most seeds, or the first where none did; without its rate."""
    steps = np.where(np.isnan(size.cells.log_steps), np.inf, size.cells.log_steps)
    best = int(np.lexsort((steps.min(0), np.median(steps, axis=0)))[0])
    return {name: float(column[best]) for name, column in size.settings.items() if name != RATE}


def _best_values(size: TrialsAt, surface: Posterior, axes: Mapping[str, Axis]) -> dict[str, np.ndarray]:
    """Value of every searched hyperparameter at the best setting of each model."""
    places = surface.models.best_others.T
    names = [name for name in axes if name != RATE]
    values = {name: axes[name].from_unit(place) for name, place in zip(names, places, strict=True)}
    momentum = values.get(MOMENTUM, size.settings.get(MOMENTUM, np.zeros(1))[:1])
    return values | {RATE: np.exp(surface.models.best_log_rate - _log_gain(momentum))}


def _fit(size: TrialsAt, surface: Posterior, axes: Mapping[str, Axis]) -> RateFit:
    """The posterior of one batch size as a fit over its seeds; those that reached nothing have no level."""
    weights, levels = surface.weights, surface.costs.levels
    log_rates = np.log(_best_values(size, surface, axes)[RATE])
    best, of_seeds = weights @ log_rates, weights @ levels
    log_steps = np.full((len(weights), len(size.seeds)), np.nan)
    log_steps[:, size.heard] = of_seeds
    sd = lambda values, mean: float(np.sqrt(weights[0] @ (values - mean) ** 2))
    return RateFit(best, log_steps, sd(log_rates, best[0]), sd(levels.mean(-1), of_seeds[0].mean()))


def _row(
    size: TrialsAt,
    surface: Posterior,
    fit: RateFit,
    spread: float,
    axes: Mapping[str, Axis],
    everyone: Sequence[int],
    level: float,
) -> Optimum:
    log_steps, log_rate = left_out(size.cells, size.seeds, fit, spread, everyone)
    log_effective = _effective(surface) if MOMENTUM in axes else LeftOut()
    (steps,), (rate,) = (exp_estimates(part.replicates, level) for part in (log_steps, log_rate))
    edges = _edges(_best_values(size, surface, axes), surface.weights[0], axes)
    edge = edges.get(RATE)
    return Optimum(
        batch_size=size.batch_size,
        steps=steps.best,
        low=steps.low,
        high=steps.high,
        examples=size.examples(steps.best),
        learning_rate=rate if RATE in axes else None,
        edge=edge if edge in ("low", "high") else None,
        others=_others(size, surface, axes),
        n_seeds=len(size.seeds),
        n_reached=int(size.heard.sum()),
        seeds=tuple(size.seeds.tolist()),
        seed_steps=tuple(np.exp(fit.log_steps[0]).tolist()),
        spread=float(spread),
        log_steps=log_steps,
        log_rate=log_rate,
        effective_rate=exp_estimates(log_effective.replicates, level)[0] if MOMENTUM in axes else None,
        log_effective_rate=log_effective,
        edges=edges,
        searched=True,
    )


def _effective(surface: Posterior) -> LeftOut:
    """Log of the best effective rate."""
    values = surface.models.best_log_rate
    best = surface.weights @ values
    return LeftOut(
        float(best[0]), tuple(best[1:].tolist()), float(np.sqrt(surface.weights[0] @ (values - best[0]) ** 2))
    )


def _others(size: TrialsAt, surface: Posterior, axes: Mapping[str, Axis]) -> dict[str, float]:
    """Best values of everything but the rate: the mean place of the models on its axis, or what all settings share."""
    searched = [name for name in axes if name != RATE]
    places = surface.weights[:1] @ surface.models.best_others
    values = {name: axes[name].from_unit(place) for name, place in zip(searched, places.T, strict=True)}
    return {
        name: float(values.get(name, column)[0]) for name, column in size.settings.items() if name != RATE
    }


def _edges(best: Mapping[str, np.ndarray], weights: np.ndarray, axes: Mapping[str, Axis]) -> dict[str, str]:
    """The ranges at whose end the best setting lies; a choice between two values has no inside."""
    found = {}
    for name, axis in axes.items():
        if axis.scale == CHOICE and len(axis.values) < 3:
            continue
        place = axis.to_unit(best[name])
        for edge, there in (("low", place <= END), ("high", place >= 1.0 - END)):
            if weights @ there > SURE:
                found[name] = edge
    return found
