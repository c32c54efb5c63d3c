"""A coarse grid, then finer ones around its best cell, against one even grid of as many trials."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hparam import SEARCHES, Search, Space, log, log1m
from lr_batch import LEVEL, WORKLOADS, Estimate, estimate
from runs.plots import style
from runs.recipes.random_vs_grid import expected_best, trainer

LEVELS, STAGES, EVEN = (
    4,
    3,
    7,
)  # grids of 16, three times; an even one of 49, one more than those have together
LANES, REPEATS, STEPS = LEVELS**2, 10, 60
STAGE_COLOURS = (style.SKY, style.BLUE, style.VERMILION)


class Zoom(NamedTuple):
    """Trials of the first repeat, with the stage of each, and of the even grid; best losses of all repeats.

    Of the even grid those are what is expected in random order. `ratio` is how many times its best loss is that of
    coarse-to-fine, geometric mean over repeats.
    """

    settings: dict[str, Float[np.ndarray, " trials"]]
    stage: Int[np.ndarray, " trials"]
    even: dict[str, Float[np.ndarray, " cells"]]
    best_so_far: dict[str, Float[np.ndarray, "repeats trials"]]
    ratio: Estimate


def space(offset: float) -> Space:
    """Rate and momentum of SGD; `offset` in decades moves the rates: nobody knows where in a range the best lies."""
    low = 10 ** (-3.0 + offset)
    return Space({"learning_rate": log(low, low * 10**3.5), "momentum": log1m(0.3, 0.99)})


def main(out: str = "coarse_to_fine_grid.png", *, quick: bool = False) -> Zoom:
    """Tunes rate and momentum of `digits_mlp` by three grids of 16, each around the best of the last, and by one of 49.

    Command: `python -m runs.recipes.coarse_to_fine_grid`; half a minute on 2 CPU cores.
    Expect the best loss of the even grid to be 1.05 (0.90 to 1.23) times that of coarse-to-fine: no difference to be
    seen with two hyperparameters and so few trials (10 repeats, 90 % interval).

    Args:
      out: where the figure goes.
      quick: 2 repeats of 10 steps.
    """
    repeats, steps = (2, 10) if quick else (REPEATS, STEPS)
    found = measured(repeats, steps)
    style.save(draw(found, repeats, steps), out)
    print(
        "best loss of the even grid over that of coarse-to-fine: {:.2f} ({:.2f} to {:.2f})".format(
            *found.ratio
        )
    )
    print(Path(out).resolve())
    return found


def measured(repeats: int, steps: int) -> Zoom:
    """Repeats differ in seed, in the order of examples, and in where the range of rates lies."""
    train = trainer(WORKLOADS["digits_mlp"](), steps, "momentum")
    best, first = {"coarse to fine": [], "even grid": []}, []
    for repeat in range(repeats):
        key, init_key, data_key, range_key = jax.random.split(jax.random.key(repeat), 4)
        ranges = space(float(jax.random.uniform(range_key)) - 0.5)
        loss_of = lambda settings, i=init_key, d=data_key: losses(train, i, d, settings)
        searches = {
            "coarse to fine": (SEARCHES["coarse_to_fine"](ranges, levels=LEVELS), STAGES),
            "even grid": (SEARCHES["grid"](ranges, levels=EVEN), -(-(EVEN**2) // LANES)),
        }
        for name, (search, rounds) in searches.items():
            settings, labels, values = searched(search, key, rounds, loss_of)
            zooms = name == "coarse to fine"
            most = STAGES * LANES if zooms else EVEN**2
            # A grid has no order of its own: what is expected of it after so many trials in random order.
            soonest = np.minimum.accumulate if zooms else lambda row: expected_best(row[None])[0]
            best[name].append(soonest(values[:most]))
            first += [({k: v[:most] for k, v in settings.items()}, labels[:most])] if repeat == 0 else []
    ends = [np.log([row[-1] for row in rows]) for rows in best.values()]
    ratio = np.exp(np.array(estimate(ends[1] - ends[0])))
    curves = {name: np.array(rows) for name, rows in best.items()}
    return Zoom(*first[0], first[1][0], curves, Estimate(*ratio.tolist()))


def searched(search: Search, key: jax.Array, rounds: int, loss_of: Callable[[Any], np.ndarray]) -> Any:
    """Settings, stages and losses of all trials, in the order in which they were asked for."""
    state, asked, found = search.init(), [], []
    for _ in range(rounds):
        proposal, state = search.ask(key, state, LANES)
        values = loss_of(proposal.settings)
        state = search.tell(state, proposal, values)
        asked, found = [*asked, proposal], [*found, values]
    names = asked[0].settings
    settings = {name: np.concatenate([proposal.settings[name] for proposal in asked]) for name in names}
    return settings, np.concatenate([proposal.label for proposal in asked]), np.concatenate(found)


def losses(
    train: Callable[..., jax.Array], init_key: jax.Array, data_key: jax.Array, settings: Any
) -> Float[np.ndarray, " trials"]:
    """Held-out losses; a network that guesses is as bad as one that diverged."""
    values = np.asarray(train(init_key, data_key, jax.tree.map(jnp.float32, settings)), float)
    return np.minimum(np.nan_to_num(values, nan=np.inf), np.log(10.0))


def draw(found: Zoom, repeats: int, steps: int) -> Figure:
    """Left, the trials of one repeat by stage; right, the best loss so far."""
    figure = style.new_figure(9.4, 4.8)
    title = "Three coarse grids, each around the best cell of the last"
    subtitle = f"digits_mlp, SGD with momentum, {steps} steps of 64 · {repeats} repeats"
    style.headline(figure, title, subtitle, left=0.085)
    left, right = (style.add_axes(figure, at, 0.21, 0.395, 0.61) for at in (0.085, 0.585))
    _trials_panel(left, found)
    _best_panel(right, found)
    return figure


def _trials_panel(axes: Axes, found: Zoom) -> None:
    even = found.even
    look = {"linestyle": "none", "marker": "+", "markersize": 6, "color": style.MUTED, "label": "even grid"}
    axes.plot(even["learning_rate"], 1 - even["momentum"], **look)
    for stage, colour in enumerate(STAGE_COLOURS):
        mine = found.stage == stage
        axes.plot(
            found.settings["learning_rate"][mine],
            1 - found.settings["momentum"][mine],
            linestyle="none",
            marker="o",
            markersize=5.5,
            color=colour,
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=f"stage {stage + 1}",
        )
    rates = even["learning_rate"]
    style.log_axis(axes.xaxis, "learning rate", rates.min() / 1.4, rates.max() * 1.4)
    style.log_axis(axes.yaxis, "1 − momentum", 0.008, 0.9)
    axes.set_title("trials of one repeat", fontsize=9.5, loc="left", pad=4)
    style.legend_below(axes)


def _best_panel(axes: Axes, found: Zoom) -> None:
    spans = []
    for (name, rows), colour in zip(found.best_so_far.items(), (style.VERMILION, style.MUTED), strict=True):
        middle, low, high = np.exp(np.array([estimate(column) for column in np.log(rows).T])).T
        trials = np.arange(1, rows.shape[1] + 1)
        shown = trials >= LANES  # before, the first stage is not whole
        axes.fill_between(trials[shown], low[shown], high[shown], color=colour, alpha=0.18, linewidth=0)
        axes.plot(trials[shown], middle[shown], color=colour, linewidth=1.7, label=name)
        spans += [low[shown], high[shown]]
    for stage in range(1, STAGES):
        axes.axvline(stage * LANES, color=style.MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    low, high = style.positive_span(*spans)
    marks = np.outer(10.0 ** np.arange(-4, 2), (1, 2, 5)).ravel()  # the labelled ones, one beyond either end
    ends = marks[marks <= low].max(), marks[marks >= high].min()
    style.log_axis(axes.yaxis, "best held-out loss so far", *ends)
    axes.set_xlim(LANES, EVEN**2)
    axes.set_xlabel("trials", fontsize=10, color=style.INK)
    title = f"even grid in random order; mean and {LEVEL:.0%} interval".replace("%", " %")
    axes.set_title(title, fontsize=9.5, loc="left", pad=4)
    style.legend_below(axes)


if __name__ == "__main__":
    main(*sys.argv[1:2])
