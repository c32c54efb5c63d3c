"""The noisy quadratic model in theory: what momentum, preconditioning and averages of iterates do to the curve."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from lr_batch.workloads import noisy_quadratic_theory as theory
from runs.plots import style

Method = theory.Method
METHODS: Mapping[str, tuple[tuple[Method, ...], str]] = {
    "SGD": ((Method(),), style.BLUE),
    "momentum, tuned": (
        tuple(Method(momentum=m) for m in (0.0, 0.8, 0.9, 0.95, 0.96, 0.97)),
        style.VERMILION,
    ),
    "average of iterates": (tuple(Method(averaging=c) for c in (0.0, 0.9, 0.99, 0.999)), style.GREEN),
    "preconditioned, p = 0.25": ((Method(power=0.25),), style.SKY),
    "preconditioned, p = 0.5": ((Method(power=0.5),), style.ORANGE),
    "preconditioned, p = 0.75": ((Method(power=0.75),), style.PURPLE),
}
# Fewest steps and log2 critical batch size, re-computed from Zhang et al. (2019) on a grid of rates and in whole steps:
# upper ends of the fewest steps. Tuned momentum has no published B_crit.
PUBLISHED = {
    "SGD": (6.9e3, 9.7),
    "momentum, tuned": (152, None),
    "preconditioned, p = 0.25": (743, 11.6),
    "preconditioned, p = 0.5": (86, 14.1),
    "preconditioned, p = 0.75": (11, 16.9),
}


# Log2 batch size at which steps are held against published ones, and how far below the best rate they are looked for.
PLATEAU, LOWEST = 30, 0.8


class Curve(NamedTuple):
    """Steps to the goal at the best constant rate and the best of a method's constants, at each batch size."""

    batch_size: Float[np.ndarray, " sizes"]
    steps: Float[np.ndarray, " sizes"]

    @property
    def log2_critical(self) -> float:
        """Of B_crit = E_min / S_min, the examples at the smallest batch size over the steps at the largest."""
        return float(np.log2(self.batch_size[0] * self.steps[0] / self.steps[-1]))


def main(out: str = "quadratic_theory.png", *, quick: bool = False) -> dict[str, Curve]:
    """Curves of six methods over batch sizes 1 to 2^30 with 10^4 curvatures, beside published numbers.

    Command: `python -m runs.recipes.quadratic_theory`; nothing is trained, ten seconds. The second moments of every
    coordinate are followed exactly, long stretches of steps by repeated squaring.
    Expect fewest steps of 6,675 for SGD (published 6.9k), 148 with tuned momentum (152), 724, 81.5 and 9.9 with h^-p for
    p = 0.25, 0.5 and 0.75 (743, 86, 11). The recursions are the same: in whole steps ours give the published numbers at
    rates 3, 2, 4 and 2 % below the best for SGD and the three p, which is what a grid of rates a factor 1.05 apart leaves
    open; a closed form for p gives 6,673, 725, 82 and 10 whole steps. Critical batch sizes of 2^9.8,
    2^11.7, 2^14.1 and 2^16.7 (2^9.7, 2^11.6, 2^14.1, 2^16.9). At small batch sizes momentum is SGD; an average of
    iterates saves a fifth of SGD's steps at batch size 1, four fifths at 2^7, and nothing on the plateau.

    Args:
      out: where the figure goes.
      quick: 50 curvatures, 6 batch sizes, and of each method at most its first two constants.
    """
    h = theory.curvature(50 if quick else 10_000)
    sizes = 2.0 ** np.arange(0, 31, 6 if quick else 1)
    most = 2 if quick else None
    curves = {name: curve(methods[:most], sizes, h) for name, (methods, _) in METHODS.items()}
    for name, found in curves.items():
        known = PUBLISHED.get(name)
        beside = f"; published {known[0]:,g}, {known[1] or 'none'}" if known and not quick else ""
        beside += (
            f", {_explained(METHODS[name][0][0], known[0], h)}" if known and known[1] and not quick else ""
        )
        print(f"{name}: fewest steps {found.steps[-1]:,.1f}, log2 B_crit {found.log2_critical:.1f}{beside}")
    style.save(draw(curves, len(h)), out)
    print(Path(out).resolve())
    return curves


def curve(methods: tuple[Method, ...], sizes: np.ndarray, h: np.ndarray) -> Curve:
    """The fewest steps that any of `methods` takes at each batch size."""
    return Curve(sizes, np.min([theory.optimal(sizes, h, method).steps for method in methods], axis=0))


def published_at(method: Method, steps: float, h: np.ndarray) -> float | None:
    """The largest rate, in units of the best, at which the goal takes that many whole steps or more; None if none does.

    Published numbers are of a grid of rates; what its spacing left open is told by how far below the best rate the same
    recursion gives them.
    """
    best = theory.optimal(2.0**PLATEAU, h, method).rate
    shares = np.linspace(LOWEST, 1.0, 201)
    whole = np.ceil(theory.steps_to_goal(shares * best, 2.0**PLATEAU, h, method))
    there = shares[whole >= steps]
    return float(there.max()) if len(there) else None


def _explained(method: Method, steps: float, h: np.ndarray) -> str:
    share = published_at(method, steps, h)
    if share is None:
        return "which no rate near the best gives"
    return f"which the same recursion gives in whole steps at a rate {1 - share:.0%} below the best"


def draw(curves: Mapping[str, Curve], dim: int) -> Figure:
    """Steps against batch size; upright ticks at the critical batch sizes."""
    figure = style.new_figure(7.6, 5.2)
    about = f"h = 1/i, {dim:,} coordinates, goal 0.01, best constant rates; ticks: critical batch sizes"
    style.headline(figure, "The noisy quadratic model, exactly", about)
    axes = style.add_axes(figure, bottom=0.235, height=0.62)
    axes.set_xscale("log", base=2)
    for name, (_, colour) in METHODS.items():
        size, steps = curves[name]
        axes.plot(size, steps, color=colour, linewidth=1.6, label=name)
        critical = 2.0 ** curves[name].log2_critical
        at = np.exp(np.interp(np.log(critical), np.log(size), np.log(steps)))
        axes.plot(critical, at, "|", color=colour, markersize=14, markeredgewidth=2)
    every = np.concatenate([found.steps for found in curves.values()])
    style.log_axis(axes.yaxis, "steps to the goal", 0.6 * every.min(), 2.0 * every.max())
    axes.set_xlabel("batch size (examples)", fontsize=10, color=style.INK)
    figure.legend(
        handles=axes.get_legend_handles_labels()[0],
        loc="center",
        bbox_to_anchor=(0.53, 0.06),
        ncols=3,
        frameon=False,
        fontsize=style.SMALL,
    )
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:2])
