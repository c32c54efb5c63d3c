"""The schedules under test: each with its formula in NumPy, and from Optax's parts where Optax has them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optax

from lr_batch.schedules import SCHEDULES


class Setting(NamedTuple):
    """Arguments that all schedules share; any of them may be traced."""

    peak: Any = 0.3
    num_steps: Any = 40
    end: Any = 0.03
    warmup: Any = 8
    init: Any = 0.01


class Row(NamedTuple):
    """One schedule under test.

    Attributes:
      name: its key in the registry.
      oracle: `(t, setting) -> rate` for warmup <= t < num_steps, NumPy from the formula of the paper.
      options: what the schedule takes beside the shared arguments.
      takes_end: whether it has the argument `end_value`.
      first: rate at the end of the warm-up.
      last: rate at num_steps and beyond.
      ramp: part of the warm-up that is over -> part of the rise that is done.
      summit: `setting -> step` at which the rate is the peak.
      summit_error: by how much it may miss it there; 0 where that is a corner, not where rounding decides.
      positive_end: whether an end value of 0 is refused.
      optax: `setting -> schedule`, the same built from Optax's parts, or None where it has none.
      variant: which one, of a schedule that has several rows.
    """

    name: str
    oracle: Callable[[float, Setting], float]
    options: tuple[tuple[str, Any], ...] = ()
    takes_end: bool = True
    first: Callable[[Setting], Any] = lambda s: s.peak
    last: Callable[[Setting], Any] = lambda s: s.end
    ramp: Callable[[float], float] = lambda x: x
    summit: Callable[[Setting], Any] = lambda s: s.warmup
    summit_error: float = 0.0
    positive_end: bool = False
    optax: Callable[[Setting], optax.Schedule] | None = None
    variant: str = ""

    def __call__(self, setting: Setting) -> optax.Schedule:
        end = {"end_value": setting.end} if self.takes_end else {}
        shared = {"warmup_steps": setting.warmup, "init_value": setting.init}
        return SCHEDULES[self.name](setting.peak, setting.num_steps, **end, **shared, **dict(self.options))


def after_warmup(body: Callable[[Setting], optax.Schedule]) -> Callable[[Setting], optax.Schedule]:
    """Optax's linear warm-up followed by `body`."""

    def build(s: Setting) -> optax.Schedule:
        return optax.join_schedules([optax.linear_schedule(s.init, s.peak, s.warmup), body(s)], [s.warmup])

    return build


def part(t, s):
    """Part of the way from the end of the warm-up to the end."""
    return (t - s.warmup) / (s.num_steps - s.warmup)


def half_cosine(x):
    """From 1 at x = 0 to 0 at x = 1."""
    return (1 + np.cos(np.pi * x)) / 2


def restarts_oracle(t, s):
    """Cycles of 5, 9 and 18 of 32 steps: 32/7, 96/7 rounded, then the end."""
    edges = s.warmup + np.array([0, 5, 14, 32])
    i = np.searchsorted(edges, t, side="right") - 1
    x = (t - edges[i]) / (edges[i + 1] - edges[i])
    return s.end + (s.peak - s.end) * half_cosine(x)


def sgdr(s):
    """Optax's restarts, with the cycles of `restarts_oracle`."""
    cycle = {"init_value": s.peak, "peak_value": s.peak, "warmup_steps": 0, "end_value": s.end}
    return optax.sgdr_schedule([{**cycle, "decay_steps": n} for n in (5, 9, 18)])


def cyclic_oracle(shrink):
    """Smith's own formula, with step size (num_steps - warmup) / 2 cycles."""

    def rate(t, s):
        t, half = t - s.warmup, (s.num_steps - s.warmup) / 8
        cycle = np.floor(1 + t / (2 * half))
        x = np.abs(t / half - 2 * cycle + 1)
        return s.end + (s.peak - s.end) * np.maximum(0, 1 - x) * shrink ** (cycle - 1)

    return rate


def one_cycle_linear_oracle(t, s):
    """Straight lines through the four corners."""
    corners = [0, s.warmup, 2 * s.warmup, s.num_steps]
    return np.interp(t, corners, [s.init, s.peak, s.init, s.end])


def one_cycle_cosine_oracle(t, s):
    """The fall of PyTorch's form."""
    return s.end + (s.peak - s.end) * half_cosine(part(t, s))


def one_cycle_cosine_optax(s):
    """Optax names its corners by factors of the peak."""
    return optax.cosine_onecycle_schedule(
        s.num_steps, s.peak, s.warmup / s.num_steps, s.peak / s.init, s.init / s.end
    )


def wsd_oracle(power):
    """Cool-down over the last fifth."""

    def rate(t, s):
        begin = s.num_steps - round(0.2 * s.num_steps)
        x = max(0, t - begin) / (s.num_steps - begin)
        return s.peak - (s.peak - s.end) * x**power

    return rate


def piecewise_linear(corners):
    """Optax's join of straight lines through `setting -> [(step, rate)]`."""

    def build(s):
        points = corners(s)
        pairs = itertools.pairwise(points)
        lines = [optax.linear_schedule(a, b, n - m) for (m, a), (n, b) in pairs]
        return optax.join_schedules(lines, [step for step, _ in points[1:-1]])

    return build


def exponential_optax(s):
    """Optax names the loss per `transition_steps`."""
    length = s.num_steps - s.warmup
    return optax.warmup_exponential_decay_schedule(
        s.init, s.peak, s.warmup, length, s.end / s.peak, end_value=s.end
    )


ROWS = (
    Row(
        "constant",
        lambda t, s: s.peak,
        takes_end=False,
        last=lambda s: s.peak,
        optax=lambda s: optax.warmup_constant_schedule(s.init, s.peak, s.warmup),
    ),
    Row(
        "step",
        lambda t, s: s.peak * 0.1 ** np.sum([t >= s.num_steps / 2, t >= 3 * s.num_steps / 4]),
        takes_end=False,
        last=lambda s: s.peak * 0.1**2,
        optax=after_warmup(lambda s: optax.piecewise_constant_schedule(s.peak, {20 - 8: 0.1, 30 - 8: 0.1})),
    ),
    Row(
        "linear",
        lambda t, s: s.peak + (s.end - s.peak) * part(t, s),
        optax=after_warmup(lambda s: optax.linear_schedule(s.peak, s.end, s.num_steps - s.warmup)),
    ),
    Row(
        "exponential",
        lambda t, s: s.peak * (s.end / s.peak) ** part(t, s),
        positive_end=True,
        optax=exponential_optax,
    ),
    Row(
        "polynomial",
        lambda t, s: s.end + (s.peak - s.end) * (1 - part(t, s)) ** 1.5,
        options=(("power", 1.5),),
        optax=after_warmup(lambda s: optax.polynomial_schedule(s.peak, s.end, 1.5, s.num_steps - s.warmup)),
    ),
    Row(
        "cosine",
        lambda t, s: s.end + (s.peak - s.end) * half_cosine(part(t, s)),
        optax=lambda s: optax.warmup_cosine_decay_schedule(s.init, s.peak, s.warmup, s.num_steps, s.end),
    ),
    Row("cosine_restarts", restarts_oracle, optax=after_warmup(sgdr)),
    Row(
        "cyclic",
        cyclic_oracle(1.0),
        first=lambda s: s.end,
        summit=lambda s: s.warmup + (s.num_steps - s.warmup) // 8,
        summit_error=1e-6,
    ),
    Row(
        "cyclic",
        cyclic_oracle(0.5),
        options=(("shrink", 0.5),),
        first=lambda s: s.end,
        summit=lambda s: s.warmup + (s.num_steps - s.warmup) // 8,
        summit_error=1e-6,
        variant="triangular2",
    ),
    Row(
        "one_cycle",
        one_cycle_linear_oracle,
        optax=piecewise_linear(
            lambda s: [(0, s.init), (s.warmup, s.peak), (2 * s.warmup, s.init), (s.num_steps, s.end)]
        ),
    ),
    Row(
        "one_cycle",
        one_cycle_cosine_oracle,
        options=(("anneal", "cosine"),),
        ramp=lambda x: 1 - half_cosine(x),
        optax=one_cycle_cosine_optax,
        variant="cosine",
    ),
    Row(
        "inverse_sqrt",
        lambda t, s: s.peak * np.sqrt(s.warmup / t),
        takes_end=False,
        last=lambda s: s.peak * (s.warmup / s.num_steps) ** 0.5,
    ),
    Row(
        "warmup_stable_decay",
        wsd_oracle(1.0),
        optax=piecewise_linear(
            lambda s: [(0, s.init), (s.warmup, s.peak), (32, s.peak), (s.num_steps, s.end)]
        ),
    ),
    Row("warmup_stable_decay", wsd_oracle(0.5), options=(("power", 0.5),), variant="1-sqrt"),
)
