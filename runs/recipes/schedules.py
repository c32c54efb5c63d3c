"""Loss against step under schedules of the learning rate: why rates are decayed, warmed up, cycled, cut."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

from matplotlib.axes import Axes
from matplotlib.figure import Figure

import lr_batch
from runs.plots import style

# A network too small to learn every example by heart: at a constant rate noise keeps its training loss up.
WIDTH, BATCH_SIZE, STEPS, SEEDS = 8, 8, 3_000, 8
HIGH, LOW = 0.4, 0.05
WHOLE = {"decay_steps": ("100%",)}
# Name -> schedule, its peak, its parameters; the first three make the left half of the figure.
CURVES: dict[str, tuple[str, float, dict[str, Any]]] = {
    "high": ("constant", HIGH, {}),
    "low": ("constant", LOW, {}),
    "high, decayed linearly": ("linear", HIGH, WHOLE),
    "cosine with warm-up": ("cosine", HIGH, WHOLE | {"warmup": ("10%",)}),
    "cyclic": ("cyclic", HIGH, WHOLE | {"end_factor": (LOW / HIGH,), "shrink": (0.5,)}),
    "step": ("step", HIGH, WHOLE),
}
HALVES = (("high", "low", "high, decayed linearly"), ("cosine with warm-up", "cyclic", "step"))
COLOURS = (style.VERMILION, style.BLUE, style.GREEN)


class Training(NamedTuple):
    """Training loss of every seed at `steps`, and the rate of every step."""

    steps: Int[np.ndarray, " evals"]
    loss: Float[np.ndarray, "seeds evals"]
    rate: Float[np.ndarray, " steps"]

    def mean(self, last: int = 1) -> lr_batch.Estimate:
        """Geometric mean over seeds of the last loss, or of the mean of several, with its interval."""
        return lr_batch.Estimate(
            *np.exp(lr_batch.estimate(np.log(self.loss[:, -last:]).mean(axis=1))).tolist()
        )


def main(out: str = "schedules.png", *, quick: bool = False) -> dict[str, Training]:
    """Trains a small network on handwritten digits under six schedules, SGD with batches of 8.

    Command: `python -m runs.recipes.schedules`; about a minute on 2 CPU cores.
    Expect a training loss after 3,000 steps (8 seeds, 90 % intervals) of 0.35 (0.20 to 0.61) at a constant 0.4, fast
    at first; of 0.14 (0.12 to 0.15) at 0.05; and decayed linearly from 0.4 of 0.15 (0.08 to 0.26). The cosine ends
    lowest, at 0.046 (0.035 to 0.060): its warm-up spares units that a high rate at the start kills for good.

    Args:
      out: where the figure goes.
      quick: 60 steps and 2 seeds.
    """
    num_steps, seeds = (60, 2) if quick else (STEPS, SEEDS)
    found = {name: trained(*curve, num_steps, seeds) for name, curve in CURVES.items()}
    for name, training in found.items():
        print("{:24s} final training loss {:.3f} ({:.3f} to {:.3f})".format(name, *training.mean()))
    network = f"digits_mlp with {WIDTH} hidden units · sgd · batches of {BATCH_SIZE}"
    subtitle = f"{network} · {seeds} seeds, mean with 90 % interval"
    style.save(draw(found, subtitle), out)
    print(Path(out).resolve())
    return found


def trained(schedule: str, peak: float, parameters: dict[str, Any], num_steps: int, seeds: int) -> Training:
    """All seeds under one schedule, each for its whole budget."""
    workload = lr_batch.as_workload("digits_mlp", width=WIDTH)
    workload = workload._replace(eval_data=jax.tree.map(lambda leaf: leaf[::3], workload.train_data))
    study = lr_batch.Study(
        workload=workload,
        optimizer="sgd",
        schedule=schedule,
        space={"learning_rate": [peak], **parameters},
        batch_sizes=[BATCH_SIZE],
        seeds=seeds,
        goal=lr_batch.Goal("loss", 0.0),  # out of reach: all are trained to the end
        budget=num_steps,
        slack=math.inf,
        extend=False,
        evaluation_growth=0.04,
        evaluation_share=1.0,  # a figure of whole curves
    )
    result = lr_batch.run(study)
    (setting,) = study.as_trained(study.settings, BATCH_SIZE)
    steps = np.arange(num_steps)
    rates = np.full(num_steps, peak)
    if (over_time := study.schedule) is not None:
        rates = jax.vmap(lambda step: over_time.rate(setting, step))(steps)
    return Training(
        result.curves[0].steps, np.stack([curve.values for curve in result.curves]), np.asarray(rates)
    )


def draw(found: dict[str, Training], subtitle: str) -> Figure:
    """Above the rate of every step, below the loss; left constant against decayed, right three that are used."""
    figure = style.new_figure(10.2, 6.4)
    style.headline(
        figure,
        "A high rate is fast at first, a low one ends lower, a decayed one does both",
        subtitle,
        left=0.075,
    )
    losses = np.concatenate([training.loss.ravel() for training in found.values()])
    for half, names in enumerate(HALVES):
        left = 0.075 + 0.485 * half
        above = style.add_axes(figure, left=left, bottom=0.65, width=0.41, height=0.19)
        below = style.add_axes(figure, left=left, bottom=0.09, width=0.41, height=0.49)
        for name, colour in zip(names, COLOURS, strict=True):
            above.plot(found[name].rate, color=colour, linewidth=1.6)
            _draw_loss(below, name, found[name], colour)
        above.set_ylabel("learning rate", fontsize=10, color=style.INK)
        above.set_ylim(0, 1.08 * HIGH)
        below.set_xlabel("step", fontsize=10, color=style.INK)
        style.log_axis(below.yaxis, "training loss (nats)", 0.8 * losses.min(), 1.2 * losses.max())
        below.legend(loc="lower left", fontsize=style.SMALL, frameon=False)
    return figure


def _draw_loss(axes: Axes, name: str, training: Training, colour: str) -> None:
    estimates = [lr_batch.estimate(column) for column in np.log(training.loss).T]
    best, low, high = np.exp(np.array(estimates)).T
    axes.fill_between(training.steps, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(training.steps, best, color=colour, linewidth=1.6, label=name)


if __name__ == "__main__":
    main(*sys.argv[1:2])
