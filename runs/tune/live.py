"""The best settings so far, on stderr: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from typing import IO, Any

import numpy as np
from rich.table import Table

from hparam import State
from hparam.search import mean_losses
from hparam.tuning.plan import TuningPlan
from runs.notebook_cell import running_cell
from runs.progress import Tell, duration, live_on, progress_stream
from runs.text import harmless, table

SHOWN = 8
AT_ONCE = 0.05  # seconds


class LiveBest:
    """Callable for `tune(on_round=...)`; use it as a context manager.

    A closed or broken stderr ends the display, never the search.
    """

    def __init__(self, plan: TuningPlan, stream: IO[str] | None = None, tell: Tell | None = None):
        """`tell` says the same to whoever watches from elsewhere."""
        self.plan, self.live, self._screen, self.tell = plan, None, contextlib.ExitStack(), tell
        self.stream = progress_stream() if stream is None else stream
        self.cell = running_cell() if self.stream is sys.stderr else None
        self._began, self._last = (
            (0.0, 0),
            -math.inf,
        )  # when what is trained now began and what had been spent

    def __enter__(self) -> LiveBest:
        self.live = self._screen.enter_context(live_on(self.stream))
        return self

    def __exit__(self, *exception: object) -> None:
        self._screen.close()

    def __call__(self, state: State, cost: int) -> None:
        whole = self.plan.trials * self.plan.study.max_steps
        left = self._left(cost, whole)
        if self.tell:
            told = numbers(self.plan, state, cost) | {"left": left}
            self.tell([line(self.plan, state, cost, left)], cost / whole, told)
        if self.cell:
            said = [line(self.plan, state, cost, left)]
            self.cell.show(self.plan.search, min(1.0, cost / whole), said, last=cost >= whole)
            return
        if self.live:
            self.live.update(live_table(self.plan, state, cost, left))
            return
        self._say(line(self.plan, state, cost, left))

    def _say(self, text: str) -> None:
        if self.stream is None:
            return
        try:
            print(harmless(text), file=self.stream, flush=True)
        except (OSError, ValueError):  # closed in the meantime
            self.stream = None

    def _left(self, cost: int, whole: int) -> float | None:
        """Seconds until the search is over, at its speed so far; rounds that were stored follow each other at once."""
        now = time.monotonic()
        if self._last == -math.inf or now - self._last < AT_ONCE:
            self._began = now, cost
        (since, before), self._last = self._began, now
        return (now - since) * (whole - cost) / (cost - before) if before < cost <= whole else None


def ranked(plan: TuningPlan, state: State) -> list[tuple[float, dict[str, str]]]:
    """Finite losses at the longest training so far and their settings as people read them, best first."""
    means = mean_losses(plan.space, state)
    rows = sorted((loss, setting) for setting, loss in means.items() if np.isfinite(loss))
    return [(loss, plan.space.describe(dict(zip(plan.space.names, s, strict=True)))) for loss, s in rows]


def live_table(plan: TuningPlan, state: State, cost: int, left: float | None = None) -> Table:
    """The best settings, under a line that says how far the search is."""
    rows = [
        (*(labels.get(name, "") for name in plan.space.names), f"{loss:.4g}")
        for loss, labels in ranked(plan, state)[:SHOWN]
    ]
    return table((*plan.space.names, plan.loss_name), rows, title=_spent(plan, state, cost, left))


def line(plan: TuningPlan, state: State, cost: int, left: float | None = None) -> str:
    """The same in one line, with the best alone."""
    rows = ranked(plan, state)
    best = "all diverged"
    if rows:
        loss, labels = rows[0]
        best = f"best {loss:.4g} at " + " ".join(f"{name}={label}" for name, label in labels.items())
    return f"{_spent(plan, state, cost, left)}; {best}"


def numbers(plan: TuningPlan, state: State, cost: int) -> dict[str, Any]:
    """The same for programs; the cost in full-length trials."""
    rows = ranked(plan, state)
    best = {"loss": rows[0][0], "setting": rows[0][1]} if rows else None
    cost_in_trials = cost / plan.study.max_steps
    return {"cost": cost_in_trials, "trials": plan.trials, "segments": len(state.told), "best": best}


def _spent(plan: TuningPlan, state: State, cost: int, left: float | None) -> str:
    diverged = sum(np.isinf(segment.known_loss) for segment in state.told)
    spent = f"cost {cost / plan.study.max_steps:.3g} of {plan.trials} trials"
    until = "" if left is None else f", about {duration(left)} left of the search"
    return f"{spent}, {len(state.told)} segments, {diverged} diverged{until}"
