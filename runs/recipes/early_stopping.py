"""Early stopping: the validation loss says when to stop, the test loss says what it is worth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

import lr_batch
import reg
from runs.plots import style
from runs.recipes.few_digits import SUBJECT, draw_band, epochs_of, few_digits, fitted

WIDTH, EPOCHS, SEEDS, PATIENCE = 128, 40, 8, 5
HALF = 198  # held-out examples to stop by; as many others to judge by


class Stopped(NamedTuple):
    """Losses at `epochs`; `kept` is the evaluation whose parameters early stopping keeps, `stop` the last one trained to.

    `loss` and `error` are test values at the kept evaluation over those at the end, seed by seed.
    """

    epochs: Float[np.ndarray, " evals"]
    train: Float[np.ndarray, "seeds evals"]
    validation: Float[np.ndarray, "seeds evals"]
    test: Float[np.ndarray, "seeds evals"]
    kept: Int[np.ndarray, " seeds"]
    stop: Int[np.ndarray, " seeds"]
    loss: lr_batch.Estimate
    error: lr_batch.Estimate


def main(out: str = "early_stopping.png", *, quick: bool = False) -> Stopped:
    """Trains a network to the end, and reads off where `reg.early_stopping` would have stopped and what it would keep.

    Command: `python -m runs.recipes.early_stopping`; half a minute on 2 CPU cores.
    Expect a test loss of 0.746 (0.713 to 0.780) times that at the end, and a test error lower by 0.069 (0.060 to 0.078)
    (8 seeds, 90 % intervals).

    Args:
      out: where the figure goes.
      quick: 6 epochs and 2 seeds.
    """
    epochs, seeds = (6, 2) if quick else (EPOCHS, SEEDS)
    found = measured(epochs, seeds)
    style.save(draw(found, f"{SUBJECT} · {seeds} seeds"), out)
    print("test loss where stopped over that at the end: {:.3f} ({:.3f} to {:.3f})".format(*found.loss))
    print("test error less that at the end: {:+.3f} ({:+.3f} to {:+.3f})".format(*found.error))
    print(Path(out).resolve())
    return found


def measured(epochs: float, seeds: int) -> Stopped:
    """The same trainings twice: evaluated on one half of the held-out examples, and on the other."""
    validation, test = (
        fitted(few_digits(WIDTH, half), epochs, seeds) for half in (slice(HALF), slice(HALF, 2 * HALF))
    )
    kept, stop = np.array([stopping(curve) for curve in validation.held_out["loss"]]).T
    at = lambda curve: (np.take_along_axis(curve, kept[:, None], axis=1)[:, 0], curve[:, -1])
    (loss, last_loss), (error, last_error) = at(test.held_out["loss"]), at(test.held_out["error"])
    ratio = np.exp(np.array(lr_batch.estimate(np.log(loss / last_loss))))
    return Stopped(
        epochs_of(validation),
        validation.train["loss"],
        validation.held_out["loss"],
        test.held_out["loss"],
        kept,
        stop,
        lr_batch.Estimate(*ratio.tolist()),
        lr_batch.estimate(error - last_error),
    )


def stopping(curve: Float[np.ndarray, " evals"]) -> tuple[int, int]:
    """The evaluation that the rule keeps, and the one at which it stops."""
    rule = reg.early_stopping(PATIENCE)
    state = rule.init(jnp.zeros(()))
    for number, value in enumerate(curve):
        state = rule.update(state, jnp.zeros(()), jnp.float32(value), jnp.int32(number))
        if state.stopped:
            return int(state.step), number
    return int(state.step), len(curve) - 1


def draw(found: Stopped, subtitle: str) -> Figure:
    """The three losses against epochs, and what is kept of each seed."""
    figure = style.new_figure(7.2, 4.8)
    axes = style.add_axes(figure, bottom=0.21, height=0.62)
    style.headline(figure, "Where the validation loss turns, training may stop", subtitle)
    lines = (
        (found.train, style.BLUE, "training", "-"),
        (found.validation, style.ORANGE, "validation", "-"),
        (found.test, style.VERMILION, "test", (0, (4, 2))),
    )
    for values, colour, label, dashes in lines:
        draw_band(axes, found.epochs, values, colour, label, dashes)
    kept = np.take_along_axis(found.validation, found.kept[:, None], axis=1)[:, 0]
    look = {
        "linestyle": "none",
        "marker": "o",
        "color": style.INK,
        "markersize": 4.5,
        "markerfacecolor": "white",
    }
    axes.plot(found.epochs[found.kept], kept, label="kept, each seed", **look)
    low, high = np.quantile(found.epochs[found.stop], (0, 1))
    axes.axvspan(low, high, color=style.FAINT, alpha=0.6, linewidth=0, label="would stop here")
    axes.set_xlim(0, found.epochs[-1])
    axes.set_xlabel("epochs", fontsize=10, color=style.INK)
    axes.set_ylim(0, 1.15 * float(max(found.test.mean(axis=0).max(), found.test[:, 0].max())))
    axes.set_ylabel("loss (nats)", fontsize=10, color=style.INK)
    style.legend_below(axes)
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:2])
