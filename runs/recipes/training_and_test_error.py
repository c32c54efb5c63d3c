"""Training and test error: against the time of training, and against the size of the network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import lr_batch
from runs.plots import style
from runs.recipes.few_digits import (
    SUBJECT,
    TEST_COLOUR,
    TRAIN_COLOUR,
    draw_band,
    epochs_of,
    few_digits,
    fitted,
)

WIDTHS, EPOCHS, SEEDS = (2, 4, 8, 16, 64, 256), 60, 8


class Errors(NamedTuple):
    """Errors of one width at each of its evaluations, which are at `epochs`."""

    epochs: Float[np.ndarray, " evals"]
    train: Float[np.ndarray, "seeds evals"]
    test: Float[np.ndarray, "seeds evals"]

    @property
    def least(self) -> lr_batch.Estimate:
        """Test error at the epoch whose mean over seeds is lowest."""
        return lr_batch.estimate(self.test[:, self.test.mean(axis=0).argmin()])


def main(out: str = "training_and_test_error.png", *, quick: bool = False) -> dict[int, Errors]:
    """Trains networks of several widths on 200 digits of which a fifth have labels drawn anew, until the end.

    Command: `python -m runs.recipes.training_and_test_error`; a minute on 2 CPU cores.
    Expect, at width 256, a training error that falls to 0, and a test error that falls to 0.152 (0.135 to 0.170) and
    rises to 0.206 (0.202 to 0.209); at width 2 both stay high, 0.71 and 0.76 (8 seeds, 90 % intervals).

    Args:
      out: where the figure goes.
      quick: two narrow widths, 4 epochs, 2 seeds.
    """
    widths, epochs, seeds = ((2, 4), 4, 2) if quick else (WIDTHS, EPOCHS, SEEDS)
    found = {width: measured(width, epochs, seeds) for width in widths}
    style.save(draw(found, f"{SUBJECT} · {seeds} seeds"), out)
    for width, errors in found.items():
        ends = (lr_batch.estimate(errors.train[:, -1]), lr_batch.estimate(errors.test[:, -1]))
        print(
            "width {:4d}: training error {:.3f} ({:.3f} to {:.3f}), test error {:.3f} ({:.3f} to {:.3f}), ".format(
                width, *ends[0], *ends[1]
            )
            + "at its least {:.3f} ({:.3f} to {:.3f})".format(*errors.least)
        )
    print(Path(out).resolve())
    return found


def measured(width: int, epochs: float, seeds: int) -> Errors:
    fits = fitted(few_digits(width), epochs, seeds)
    return Errors(epochs_of(fits), fits.train["error"], fits.held_out["error"])


def draw(found: dict[int, Errors], subtitle: str) -> Figure:
    """Left, errors of the widest network against epochs; right, those at the end against the width."""
    figure = style.new_figure(9.4, 4.8)
    title = "Training error falls on, test error does not"
    style.headline(figure, title, subtitle, left=0.075)
    left, right = (style.add_axes(figure, at, 0.21, 0.40, 0.61) for at in (0.075, 0.57))
    widest = max(found)
    _epochs_panel(left, found[widest])
    left.set_title(f"width {widest}, mean and 90 % interval", fontsize=9.5, loc="left", pad=4)
    _widths_panel(right, found)
    right.set_title("at the end of training", fontsize=9.5, loc="left", pad=4)
    top = 1.08 * max(float(errors.test.max()) for errors in found.values())
    for axes in (left, right):
        axes.set_ylim(-0.02, top)
        axes.set_ylabel("share of wrong classes", fontsize=10, color=style.INK)
    return figure


def _epochs_panel(axes: Axes, errors: Errors) -> None:
    draw_band(axes, errors.epochs, errors.train, TRAIN_COLOUR, "training examples")
    draw_band(axes, errors.epochs, errors.test, TEST_COLOUR, "test examples", (0, (4, 2)))
    axes.set_xlim(0, errors.epochs[-1])
    axes.set_xlabel("epochs", fontsize=10, color=style.INK)
    style.legend_below(axes)


def _widths_panel(axes: Axes, found: dict[int, Errors]) -> None:
    widths = np.array(list(found))
    ends = {
        "training examples": (TRAIN_COLOUR, "o", [errors.train[:, -1] for errors in found.values()]),
        "test examples": (TEST_COLOUR, "D", [errors.test[:, -1] for errors in found.values()]),
    }
    for label, (colour, marker, values) in ends.items():
        middle, low, high = np.array([lr_batch.estimate(column) for column in values]).T
        look = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.4, "label": label}
        axes.errorbar(widths, middle, style.bars(middle, low, high), **look)
    style.batch_axis(axes, widths)
    axes.set_xlabel("hidden units", fontsize=10, color=style.INK)
    style.legend_below(axes)


if __name__ == "__main__":
    main(*sys.argv[1:2])
