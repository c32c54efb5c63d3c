"""Rare and frequent features: adaptive methods learn the rare ones sooner than SGD."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optim import OPTIMIZERS
from runs.plots import style
from runs.recipes.descend import descend

# Feature j is in one example out of 2^j, and every example has exactly one feature, like the words of a text.
NUM_FEATURES = 8
_HALVED = 0.5 ** np.arange(1, NUM_FEATURES + 1)
FREQUENCY = _HALVED / _HALVED.sum()
BATCH_SIZE = 64
LEARNED = 0.1  # a weight counts as learned once its relative error stays below this; it begins at 1
NUM_STEPS = 600
RATES = 2.0 ** np.arange(-8, 4, 0.5)
METHODS = {"sgd": "SGD", "adagrad": "AdaGrad", "rmsprop": "RMSProp", "adam": "Adam"}
COLORS = {"sgd": style.BLUE, "adagrad": style.ORANGE, "rmsprop": style.GREEN, "adam": style.VERMILION}
MARKERS = {"sgd": "o", "adagrad": "s", "rmsprop": "^", "adam": "D"}


class Problem(NamedTuple):
    """What the seeds differ in: the weights to find, and how often each feature is in each batch."""

    target: Float[Array, "*seeds features"]
    share: Float[Array, "*seeds steps features"]


class Learning(NamedTuple):
    """One method at the rate that learns a feature in the fewest steps, averaged over features and seeds.

    Attributes:
      rate: that learning rate.
      steps: until each feature was learned, for each seed; infinite where it was not.
      error: |weight / target - 1| after each step, median over the seeds.
    """

    rate: float
    steps: Float[np.ndarray, "seeds features"]
    error: Float[np.ndarray, "steps features"]

    @property
    def median_steps(self) -> Float[np.ndarray, " features"]:
        """Steps to learn each feature, most frequent first."""
        return np.median(self.steps, axis=0)

    @property
    def slope(self) -> float:
        """Steps grow as this power of the frequency: -1 where features wait for examples, 0 where not."""
        return float(np.polyfit(np.log(FREQUENCY), np.log(self.median_steps), 1)[0])


def problems(num_seeds: int) -> Problem:
    """Weights between 1/2 and 3/2 of either sign, and batches drawn with replacement."""
    rng = np.random.default_rng(0)
    size = rng.uniform(0.5, 1.5, size=(num_seeds, NUM_FEATURES))
    sign = rng.choice([-1.0, 1.0], size=size.shape)
    counts = rng.multinomial(BATCH_SIZE, FREQUENCY, size=(num_seeds, NUM_STEPS))
    return Problem(jnp.asarray(sign * size, jnp.float32), jnp.asarray(counts / BATCH_SIZE, jnp.float32))


def errors(name: str, seeds: Problem) -> Float[np.ndarray, "rates seeds steps features"]:
    """Relative error after every step, all rates and seeds side by side; all weights start at 0."""

    def lane(rate: Array, problem: Problem) -> Array:
        def loss(weights: Array, share: Array) -> Array:
            return 0.5 * jnp.sum(share * (weights - problem.target) ** 2)

        def error(weights: Array) -> Array:
            return jnp.abs(weights / problem.target - 1)

        optimizer = OPTIMIZERS[name]({"learning_rate": rate})
        return descend(optimizer, loss, jnp.zeros(NUM_FEATURES), problem.share, error)[1]

    lanes = jax.vmap(jax.vmap(lane, in_axes=(None, 0)), in_axes=(0, None))
    return np.asarray(jax.jit(lanes)(jnp.asarray(RATES, jnp.float32), seeds))


def steps_to_learn(error: Float[np.ndarray, "*lanes steps features"]) -> Float[np.ndarray, "*lanes features"]:
    """First step from which on the error stays below `LEARNED`; infinity where it ends above."""
    wrong = ~(error < LEARNED)  # also where the error is not finite
    num_steps = error.shape[-2]
    last_wrong = num_steps - np.argmax(wrong[..., ::-1, :], axis=-2)
    steps = np.where(wrong.any(axis=-2), last_wrong + 1.0, 1.0)
    return np.where(steps > num_steps, np.inf, steps)


def tuned(name: str, seeds: Problem) -> Learning:
    """Trains at every rate and keeps the best one."""
    error = errors(name, seeds)
    steps = steps_to_learn(error)
    best = int(np.argmin(steps.mean(axis=(1, 2))))
    return Learning(float(RATES[best]), steps[best], np.median(error[best], axis=0))


def main(out: str = "rare_features.png", quick: bool = False) -> dict[str, Learning]:
    """Learns eight features, in 1/2 to 1/256 of the examples, with four methods at their best rates.

    Command: `python -m runs.recipes.rare_features`; about 10 s on 2 CPU cores.
    Expect the steps to learn a feature to grow as frequency^-0.96 with SGD, and at most as frequency^-0.27
    with the others: the rarest takes SGD 194 steps (median), RMSProp 70, Adam 42, AdaGrad 10.

    Args:
      out: where the figure goes.
      quick: 5 seeds in place of 20.
    """
    num_seeds = 5 if quick else 20
    seeds = problems(num_seeds)
    results = {name: tuned(name, seeds) for name in METHODS}
    style.save(draw(results, num_seeds), out)
    for name, result in results.items():
        frequent, rare = result.median_steps[[0, -1]]
        print(
            f"{METHODS[name]:8s} rate {result.rate:<7.3g} steps: most frequent {frequent:g}, "
            f"rarest {rare:g}, as frequency^{result.slope:.2f}"
        )
    print(Path(out).resolve())
    return results


def draw(results: dict[str, Learning], num_seeds: int) -> Figure:
    """Left, the error of the most frequent and the rarest feature; right, steps against frequency."""
    figure = style.new_figure(8.6, 4.6)
    subtitle = f"one feature per example, batches of {BATCH_SIZE}, best rates, seeds: {num_seeds}"
    style.headline(figure, "Adaptive methods learn rare features sooner", subtitle, left=0.095)
    _error_panel(style.add_axes(figure, 0.095, 0.235, 0.39, 0.585), results)
    axes = style.add_axes(figure, 0.575, 0.235, 0.40, 0.585)
    _steps_panel(axes, results)
    handles = axes.get_legend_handles_labels()[0]
    style.legend_of_panels(figure, handles, 4, middle=0.53, fontsize=10)
    return figure


def _error_panel(axes: Axes, results: dict[str, Learning]) -> None:
    """Median error of two features along the training."""
    for name, result in results.items():
        steps = np.arange(1, len(result.error) + 1)
        axes.plot(steps, result.error[:, -1], color=COLORS[name], linewidth=1.7)
        axes.plot(steps, result.error[:, 0], color=COLORS[name], linewidth=1.1, linestyle=(0, (2, 2)))
    axes.axhline(LEARNED, color=style.MUTED, linewidth=0.9)
    style.log_axis(axes.xaxis, "step", 1, NUM_STEPS)
    style.log_axis(axes.yaxis, r"error of the weight, $|w / w^* - 1|$", 1e-3, 2)
    axes.set_title("solid: rarest feature; dashed: most frequent", fontsize=9.5, loc="left", pad=4)


def _steps_panel(axes: Axes, results: dict[str, Learning]) -> None:
    """Steps to learn a feature against how frequent it is: median, and the range of the seeds."""
    for i, (name, result) in enumerate(results.items()):
        middle = result.median_steps
        bars = style.bars(middle, result.steps.min(axis=0), result.steps.max(axis=0))
        beside = FREQUENCY * 1.06 ** (i - 1.5)  # so that the bars of the methods do not cover each other
        look = {"color": COLORS[name], "marker": MARKERS[name], "markersize": 4.5, "linewidth": 1.4}
        axes.errorbar(beside, middle, bars, elinewidth=0.9, label=METHODS[name], **look)
    style.log_axis(axes.xaxis, "share of the examples that have the feature", 2.5e-3, 0.8)
    style.log_axis(axes.yaxis, f"steps until the error stays below {LEARNED:g}", 0.7, 1000)
    axes.set_title("median and range over seeds", fontsize=9.5, loc="left", pad=4)


if __name__ == "__main__":
    main()
