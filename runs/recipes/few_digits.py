"""A problem that a network learns by heart: few handwritten digits, some of them with wrong labels."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

import lr_batch
from runs.plots import style

NUM_TRAIN, WRONG = 200, 0.2  # examples to train on, and the share of them whose label is drawn anew
RATE, BATCH_SIZE = 0.01, 32


def few_digits(width: int, held_out: slice = slice(None)) -> lr_batch.Workload:
    """`digits_mlp` on few examples; held-out labels are right, of which `held_out` are used."""
    workload = lr_batch.as_workload("digits_mlp", width=width)
    train = jax.tree.map(lambda leaf: np.array(leaf[:NUM_TRAIN]), workload.train_data)
    rng = np.random.default_rng(0)
    wrong = rng.random(NUM_TRAIN) < WRONG
    train["y"][wrong] = rng.integers(0, 10, wrong.sum())
    kept = jax.tree.map(lambda leaf: leaf[held_out], workload.eval_data)
    return workload._replace(name=f"few_digits, width {width}", train_data=train, eval_data=kept)


def fitted(
    workload: lr_batch.Workload, epochs: float, seeds: int, regularizer: str | None = None, **strengths: Any
) -> lr_batch.Generalization:
    """Every seed at every strength, trained with Adam for all `epochs`."""
    study = lr_batch.Study(
        workload=workload,
        optimizer="adam",
        regularizer=regularizer,
        batch_sizes=(BATCH_SIZE,),
        space={"learning_rate": (RATE,), **strengths},
        seeds=seeds,
        goal=lr_batch.Goal("error", 0.0),
    )
    return lr_batch.generalize(study, epochs)


def epochs_of(fits: lr_batch.Generalization) -> Float[np.ndarray, " evals"]:
    """Passes over the training data at each evaluation."""
    return fits.steps[0] * BATCH_SIZE / NUM_TRAIN


def draw_band(
    axes: Axes,
    x: Float[np.ndarray, " n"],
    values: Float[np.ndarray, "seeds n"],
    colour: str,
    label: str,
    dashes: Any = "-",
) -> None:
    """Mean over seeds as a line, its 90 % interval as a band."""
    middle, low, high = np.array([lr_batch.estimate(column) for column in values.T]).T
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, middle, color=colour, linestyle=dashes, linewidth=1.7, label=label)


SUBJECT = (
    f"{NUM_TRAIN} handwritten digits, {WRONG:.0%} of their labels drawn anew · adam at {RATE:g}".replace(
        "%", " %"
    )
)
TRAIN_COLOUR, TEST_COLOUR = style.BLUE, style.VERMILION
