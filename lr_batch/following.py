"""Which trials of a grid are measured where the best rate is followed from one batch size to the next.

Most rates of a grid cannot win, and the best rate moves slowly with the batch size. So the first seed is trained at
every rate at the smallest, the middle and the largest batch size. Between them it is trained in a window around the
line through the best rates there, and the other seeds of each batch size in a narrower window around the best rate of
the first. A window grows where its best rate lies on its edge and the grid goes on. Where no rate has reached the goal
nothing is known, and the grid is measured as a whole.

Only outcomes of rounds that are finished decide about the next one, so the plan does not depend on the order in
which trials end, and a study that goes on makes the same one again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from lr_batch.design import Settings
from lr_batch.result import Result
from lr_batch.study import Study

RATE = "learning_rate"
# Half widths of the windows in log rate, of the first seed and of the others: three and two to three rates of a default
# grid on either side. `python -m runs.recipes.ridge_window` has what they cost and how far answers move.
FIRST, OTHERS = 1.75, 1.4
# Log steps: rates that need no more than this above the fewest have a say in where the best one is
ALIKE = 0.15


class Followed(NamedTuple):
    """The settings of a round at batch sizes and seeds, and the lanes of each chunk that later rounds are likely to ask
    for, by batch size."""

    cells: Mapping[tuple[int, int], Settings]
    to_come: Mapping[int, Sequence[int]]


def rounds(study: Study, measured: Callable[[], Result]) -> Iterator[Followed]:
    """The rounds of a study; `measured` gives all trials of those before.

    The best rate of every setting of the other hyperparameters is followed for itself.
    """
    grid = _Grid(study)
    asked = np.zeros(grid.shape, bool)
    steps = np.full(grid.shape, np.nan)
    while True:
        wanted = np.stack([to_measure(grid.log_rate, grid.log_size, plane) for plane in steps])
        if not wanted.any():
            return
        asked |= wanted
        yield Followed(grid.settings(wanted), grid.to_come(asked))
        # What was asked for and is not there did not fit into memory: it never reaches the goal.
        steps = np.where(asked, grid.steps(measured()), np.nan)


def to_measure(
    log_rate: Float[np.ndarray, " rates"],
    log_size: Float[np.ndarray, " sizes"],
    steps: Float[np.ndarray, "sizes seeds rates"],
) -> Bool[np.ndarray, "sizes seeds rates"]:
    """The trials of the next round; none where all is measured that is needed.

    Args:
      log_rate, log_size: ascending.
      steps: to the goal; infinite where a trial did not reach it, NaN where it was not trained.
    """
    measured, wanted = ~np.isnan(steps), np.zeros(steps.shape, bool)
    whole = sorted({0, len(log_size) // 2, len(log_size) - 1})
    if not measured[whole, 0].all():
        wanted[whole, 0] = True
        return wanted & ~measured
    best = np.array([best_rate(log_rate, steps[size, 0]) for size in whole])
    line = _line(log_size, log_size[whole], best)
    for size, rows in enumerate(steps):
        first, others = rows[:1], rows[1:]
        wanted[size, 0] = _window(log_rate, line[size], first, FIRST)
        if not (wanted[size, 0] & ~measured[size, 0]).any():  # the first seed has found its best rate
            wanted[size, 1:] = _window(log_rate, best_rate(log_rate, first[0]), others, OTHERS)
    return wanted & ~measured


def best_rate(log_rate: Float[np.ndarray, " rates"], steps: Float[np.ndarray, " rates"]) -> float:
    """Log of the best rate of a seed: between the rates that are about as fast; NaN where none reached the goal."""
    log_steps = np.log(np.where(np.isnan(steps), np.inf, steps))
    if not np.isfinite(log_steps).any():
        return float("nan")
    weight = np.exp((log_steps.min() - log_steps) / ALIKE)
    return float(weight @ log_rate / weight.sum())


def _line(log_size: np.ndarray, known: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Best log rates at all batch sizes from those that are known, NaN where none is."""
    there = np.isfinite(best)
    return np.interp(log_size, known[there], best[there]) if there.any() else np.full(len(log_size), np.nan)


def _window(log_rate: np.ndarray, centre: float, steps: np.ndarray, half: float) -> np.ndarray:
    """The rates at which seeds are measured: around `centre` at first, then farther where the best one is at an edge."""
    columns = np.flatnonzero(~np.isnan(steps).all(0))
    everything = np.ones(len(log_rate), bool)
    if not len(columns):
        near = np.abs(log_rate - centre) <= half
        return near if near.any() else everything  # also where the centre is NaN
    median = np.median(steps[:, columns], axis=0)
    if not np.isfinite(median).any():
        return everything
    at = columns[np.lexsort((steps[:, columns].min(0), median))[0]]
    return _beyond(log_rate, columns[0], at == columns[0], columns[-1], at == columns[-1], half / 2)


def _beyond(
    log_rate: np.ndarray, low: np.int64, lower: np.bool_, high: np.int64, higher: np.bool_, by: float
) -> np.ndarray:
    """The rates outside of those numbered `low` to `high`, on the sides that are asked for: the next one, and all
    within `by`."""
    number = np.arange(len(log_rate))
    below = (number == low - 1) | ((number < low) & (log_rate >= log_rate[low] - by))
    above = (number == high + 1) | ((number > high) & (log_rate <= log_rate[high] + by))
    return (lower & below) | (higher & above)


class _Grid:
    """The trials of a study as arrays [planes sizes seeds rates]; a plane has one setting of everything but the rate."""

    def __init__(self, study: Study):
        self.settings_of = study.settings
        rate = np.array([setting[RATE] for setting in study.settings])
        rates, self.at_rate = np.unique(rate, return_inverse=True)
        others = [tuple(v for name, v in setting.items() if name != RATE) for setting in study.settings]
        planes = list(dict.fromkeys(others))
        self.at_plane = [planes.index(other) for other in others]
        self.sizes, self.seeds = study.batch_sizes, study.seed_numbers
        self.log_rate, self.log_size = np.log(rates), np.log(np.array(self.sizes, float))
        self.shape = (len(planes), len(self.sizes), len(self.seeds), len(rates))

    def settings(self, wanted: np.ndarray) -> dict[tuple[int, int], list[Mapping[str, float]]]:
        """By batch size and seed, in the order of the study's settings."""
        chosen = {}
        for i, size in enumerate(self.sizes):
            for j, seed in enumerate(self.seeds):
                here = wanted[self.at_plane, i, j, self.at_rate]
                if here.any():
                    chosen[size, seed] = [
                        s for s, is_wanted in zip(self.settings_of, here, strict=True) if is_wanted
                    ]
        return chosen

    def to_come(self, asked: np.ndarray) -> dict[int, list[int]]:
        """Lanes of the windows that were not asked for yet, by batch size."""
        spacing = np.ptp(self.log_rate) / max(len(self.log_rate) - 1, 1)
        rates = [
            min(int(2 * half / spacing) + 1, len(self.log_rate)) if spacing else 1 for half in (FIRST, OTHERS)
        ]
        lanes: dict[int, list[int]] = {size: [] for size in self.sizes}
        for i, j in np.argwhere(~asked.any((0, 3))).tolist():
            lanes[self.sizes[i]].append(self.shape[0] * rates[min(j, 1)])
        return lanes

    def steps(self, result: Result) -> np.ndarray:
        """To the goal; infinite where it was not reached or nothing was measured."""
        place = {tuple(s.values()): i for i, s in enumerate(self.settings_of)}
        size_at = {size: i for i, size in enumerate(self.sizes)}
        seed_at = {seed: j for j, seed in enumerate(self.seeds)}
        steps = np.full(self.shape, np.inf)
        for trial in result.trials:
            if trial.steps_to_goal is None:
                continue
            at = place[tuple(trial.hparams[name] for name in self.settings_of[0])]
            cell = (self.at_plane[at], size_at[trial.batch_size], seed_at[trial.seed], self.at_rate[at])
            steps[cell] = trial.steps_to_goal
        return steps
