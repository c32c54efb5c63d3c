"""Sensitivity to the learning rate: SGD against Adam on the handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import WORKLOADS, Workload, num_examples
from optim import OPTIMIZERS
from runs.plots import style
from runs.recipes.descend import descend

BATCH_SIZE = 64
NUM_SEEDS = 4
GOOD = 1.5  # a rate is good while its loss is within this factor of the best one
CEILING = 20.0  # losses above it are drawn here
METHODS = {"sgd": ("SGD", style.BLUE, "o"), "adam": ("Adam", style.VERMILION, "D")}


class Sensitivity(NamedTuple):
    """Held-out loss of one method against its learning rate.

    Attributes:
      rates: the grid, ascending.
      loss: after the training, for each seed; infinite where the lane diverged.
      best_rate: rate of the lowest median loss.
      best_loss: that loss.
      good: lowest and highest rate around it whose median loss is within `GOOD` of the best.
      decades: width of that range in powers of ten.
    """

    rates: Float[np.ndarray, " rates"]
    loss: Float[np.ndarray, "seeds rates"]
    best_rate: float
    best_loss: float
    good: tuple[float, float]
    decades: float


def final_losses(
    name: str, workload: Workload, rates: Float[np.ndarray, " rates"], num_seeds: int, num_steps: int
) -> Float[np.ndarray, "seeds rates"]:
    """Held-out loss after training at every rate; the rates of a seed share its start and its batches."""

    def loss(params: Any, rows: Int[Array, " batch"]) -> Float[Array, ""]:
        batch = jax.tree.map(lambda column: jnp.asarray(column)[rows], workload.train_data)
        return workload.loss(params, batch, jax.random.key(0)).mean()  # no dropout, hence one key

    def held_out_loss(rate: Float[Array, ""], start: Any, batches: Array) -> Float[Array, ""]:
        optimizer = OPTIMIZERS[name]({"learning_rate": rate})
        params, _ = descend(optimizer, loss, start, batches, lambda params: ())
        return workload.evaluate(params, workload.eval_data)["loss"].mean()

    def all_rates(seed: Int[Array, ""]) -> Float[Array, " rates"]:
        init_key, data_key = jax.random.split(jax.random.key(seed))
        start, batches = workload.init(init_key), batches_of(data_key, num_steps, workload)
        lanes = jax.vmap(held_out_loss, in_axes=(0, None, None))
        return lanes(jnp.asarray(rates, jnp.float32), start, batches)

    final = np.asarray(jax.jit(lambda seeds: jax.lax.map(all_rates, seeds))(jnp.arange(num_seeds)), float)
    return np.where(np.isfinite(final), final, np.inf)


def batches_of(key: jax.Array, num_steps: int, workload: Workload) -> Int[Array, "steps batch"]:
    """Rows of the training data, every row once per epoch."""
    size = num_examples(workload.train_data)
    drawn = num_steps * BATCH_SIZE
    keys = jax.random.split(key, -(-drawn // size))
    epochs = jax.vmap(lambda key: jax.random.permutation(key, size))(keys)
    return epochs.ravel()[:drawn].reshape(num_steps, BATCH_SIZE)


def sensitivity(rates: Float[np.ndarray, " rates"], loss: Float[np.ndarray, "seeds rates"]) -> Sensitivity:
    """The best rate, and how far one may be off it."""
    middle = np.median(loss, axis=0)
    best = int(np.argmin(middle))
    good = good_range(rates, middle)
    decades = float(np.log10(good[1] / good[0]))
    return Sensitivity(rates, loss, float(rates[best]), float(middle[best]), good, decades)


def good_range(rates: Float[np.ndarray, " rates"], loss: Float[np.ndarray, " rates"]) -> tuple[float, float]:
    """Where the loss crosses `GOOD` times its minimum, on both sides, log-log between the points of the grid.

    NaN on a side where the grid ends before.
    """
    excess = np.log(np.minimum(loss, 1e30)) - np.log(GOOD * loss.min())
    best, bad = int(np.argmin(loss)), np.flatnonzero(excess > 0)
    below, above = bad[bad < best], bad[bad > best]

    def crossing(outside: int, inside: int) -> float:
        return float(np.exp(np.interp(0.0, excess[[inside, outside]], np.log(rates[[inside, outside]]))))

    return (
        crossing(below[-1], below[-1] + 1) if len(below) else float("nan"),
        crossing(above[0], above[0] - 1) if len(above) else float("nan"),
    )


def main(out: str = "rate_sensitivity.png", quick: bool = False) -> dict[str, Sensitivity]:
    """Trains `digits_mlp` at rates from 1e-5 to 100 with SGD and with Adam.

    Command: `python -m runs.recipes.rate_sensitivity`; about 25 s on 2 CPU cores.
    Expect equal best losses (0.043), but 0.5 decades of good rates for SGD, which ends in a cliff just
    above its best rate of 1, and 1.1 decades for Adam, best at 0.02.

    Args:
      out: where the figure goes.
      quick: 100 steps and 2 rates per decade in place of 500 and 4.
    """
    num_steps, per_decade = (100, 2) if quick else (500, 4)
    workload = WORKLOADS["digits_mlp"]()
    rates = np.logspace(-5, 2, 7 * per_decade + 1)
    results = {}
    for name in METHODS:
        results[name] = sensitivity(rates, final_losses(name, workload, rates, NUM_SEEDS, num_steps))
    style.save(draw(results, f"{workload.name}, {num_steps} steps of {BATCH_SIZE}, seeds: {NUM_SEEDS}"), out)
    for name, result in results.items():
        low, high = result.good
        print(
            f"{METHODS[name][0]:5s} best rate {result.best_rate:.3g} (held-out loss {result.best_loss:.4f}), "
            f"within {GOOD:g}x from {low:.2g} to {high:.2g}: {result.decades:.2f} decades"
        )
    print(Path(out).resolve())
    return results


def draw(results: dict[str, Sensitivity], setting: str) -> Figure:
    """Held-out loss against rate; the range of good rates as a bar below."""
    figure = style.new_figure(7.2, 4.8)
    subtitle = f"{style.plain(setting)}; bars: within {GOOD:g}x of the best loss; hollow: off the scale"
    style.headline(figure, "How much the learning rate matters", subtitle)
    axes = style.add_axes(figure, bottom=0.135)
    bottom = 0.45 * min(result.best_loss for result in results.values())
    for i, (name, result) in enumerate(results.items()):
        _curve(axes, name, result, ceiling=CEILING / 1.3**i)
        height = bottom * 1.25 ** (1 + i)
        axes.plot(result.good, [height, height], METHODS[name][1], linewidth=4, solid_capstyle="butt")
    style.log_axis(axes.xaxis, "learning rate", 0.7 * result.rates[0], 1.4 * result.rates[-1])
    style.log_axis(axes.yaxis, "held-out loss (nats)", bottom, 1.3 * CEILING)
    axes.legend(loc="upper left", fontsize=9, frameon=True, framealpha=0.95)
    return figure


def _curve(axes: Axes, name: str, result: Sensitivity, ceiling: float) -> None:
    """Median as a line, seeds as dots; a median off the scale or not finite hollow, at the ceiling."""
    title, color, marker = METHODS[name]
    look = {"color": color, "markersize": 4.5}
    middle = np.median(result.loss, axis=0)
    inside = middle < ceiling
    label = f"{title}: best at {result.best_rate:.2g}"
    axes.plot(result.rates[inside], middle[inside], marker=marker, label=label, **look)
    outside = result.rates[~inside]
    axes.plot(outside, np.full(len(outside), ceiling), marker, markerfacecolor="white", **look)
    for loss in result.loss:
        shown = loss < ceiling
        axes.plot(result.rates[shown], loss[shown], ".", color=color, markersize=3, alpha=0.4)


if __name__ == "__main__":
    main()
