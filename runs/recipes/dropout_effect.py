"""Dropout: the network that is trained at one step, and what that does to the test error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import lr_batch
from reg.dropout import drop
from runs.plots import style
from runs.recipes.few_digits import SUBJECT, draw_band, epochs_of, few_digits, fitted

WIDTH, EPOCHS, SEEDS = 256, 60, 8
SHARES = {0.0: (style.INK, "none"), 0.3: (style.BLUE, "0.3"), 0.6: (style.VERMILION, "0.6")}
LAYERS = (5, 6, 6, 3)  # units of the network that is drawn
DRAWN_SHARE, DRAWN_SEED = 0.5, 4


class Dropout(NamedTuple):
    """Test error at `epochs` for each share of units dropped, and its change at the end against none."""

    epochs: Float[np.ndarray, " evals"]
    error: dict[float, Float[np.ndarray, "seeds evals"]]
    change: dict[float, lr_batch.Estimate]


def main(out: str = "dropout_effect.png", *, quick: bool = False) -> Dropout:
    """Draws a network beside one of its thinned ones, and trains with dropout on 200 digits.

    Command: `python -m runs.recipes.dropout_effect`; half a minute on 2 CPU cores.
    Expect a test error at the end of 0.205 (0.201 to 0.208) without dropout, the same with a share of 0.3, and lower by
    0.030 (0.017 to 0.042) with 0.6 (8 paired seeds, 90 % intervals).

    Args:
      out: where the figure goes.
      quick: a width of 16, 4 epochs, 2 seeds.
    """
    width, epochs, seeds = (16, 4, 2) if quick else (WIDTH, EPOCHS, SEEDS)
    found = measured(width, epochs, seeds)
    style.save(draw(found, f"{SUBJECT} · width {width} · {seeds} seeds"), out)
    for share, change in found.change.items():
        print("dropout {:g}: test error {:+.3f} ({:+.3f} to {:+.3f}) against none".format(share, *change))
    print(Path(out).resolve())
    return found


def measured(width: int, epochs: float, seeds: int) -> Dropout:
    fits = fitted(few_digits(width), epochs, seeds, "dropout", dropout=tuple(SHARES))
    shares = fits.hparams["dropout"]
    error = {share: fits.held_out["error"][np.isclose(shares, share)] for share in SHARES}
    change = {
        share: lr_batch.estimate(error[share][:, -1] - error[0.0][:, -1]) for share in SHARES if share > 0
    }
    return Dropout(epochs_of(fits), error, change)


def draw(found: Dropout, subtitle: str) -> Figure:
    """Left the two networks, right the test error against epochs."""
    figure = style.new_figure(9.4, 4.8)
    style.headline(figure, "Dropout trains another thinned network at every step", subtitle, left=0.04)
    for left, title, share in ((0.04, "whole network", 0.0), (0.28, "at one step", DRAWN_SHARE)):
        axes = style.add_axes(figure, left, 0.13, 0.20, 0.66)
        _network_panel(axes, kept_units(share))
        axes.set_title(title, fontsize=9.5, loc="left", pad=4)
    axes = style.add_axes(figure, 0.585, 0.21, 0.39, 0.61)
    for share, (colour, label) in SHARES.items():
        draw_band(axes, found.epochs, found.error[share], colour, label, (0, (4, 2)) if share == 0 else "-")
    axes.set_xlim(0, found.epochs[-1])
    ends = np.concatenate([error[:, 1:].mean(axis=0) for error in found.error.values()])
    style.log_axis(axes.yaxis, "test error", 0.85 * ends.min(), 1.1 * ends.max())
    axes.set_xlabel("epochs", fontsize=10, color=style.INK)
    axes.set_title("share dropped; mean and 90 % interval over seeds", fontsize=9.5, loc="left", pad=4)
    style.legend_below(axes)
    return figure


def kept_units(share: float) -> list[np.ndarray]:
    """Which units of each layer are there; as in `reg.dropout`, only hidden ones are ever dropped."""
    hidden = [
        np.asarray(drop(jnp.ones(size), share, jax.random.fold_in(jax.random.key(DRAWN_SEED), layer))) > 0
        for layer, size in enumerate(LAYERS[1:-1])
    ]
    return [np.ones(LAYERS[0], bool), *hidden, np.ones(LAYERS[-1], bool)]


def _network_panel(axes: Axes, kept: list[np.ndarray]) -> None:
    """Units as circles, those dropped crossed out, without their connections."""
    axes.set_axis_off()
    places = [np.linspace(0, 1, size + 2)[1:-1] for size in LAYERS]
    for layer in range(len(LAYERS) - 1):
        for i, low in enumerate(places[layer]):
            for j, high in enumerate(places[layer + 1]):
                if kept[layer][i] and kept[layer + 1][j]:
                    axes.plot((layer, layer + 1), (low, high), color=style.MUTED, linewidth=0.5, zorder=1)
    for layer, (heights, there) in enumerate(zip(places, kept, strict=True)):
        for colour, chosen, edge in ((style.BLUE, there, style.BLUE), ("white", ~there, style.MUTED)):
            look = {"s": 130, "color": colour, "edgecolor": edge, "linewidth": 1.2, "zorder": 2}
            axes.scatter(np.full(chosen.sum(), layer), heights[chosen], **look)
        axes.scatter(
            np.full((~there).sum(), layer), heights[~there], s=45, marker="x", color=style.INK, zorder=3
        )
    axes.set_xlim(-0.3, len(LAYERS) - 0.7)
    axes.set_ylim(0, 1)


if __name__ == "__main__":
    main(*sys.argv[1:2])
