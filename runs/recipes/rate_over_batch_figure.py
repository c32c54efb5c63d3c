"""Loss against examples of runs at equal rate over batch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import estimate
from runs.plots import style

# Examples, and the losses there of every batch size.
Panel = tuple[Float[np.ndarray, " places"], Mapping[int, Float[np.ndarray, "seeds places"]]]


def draw(panels: Mapping[str, Panel], path: Path) -> Figure:
    """A panel for each title, a line for each batch size, the smallest light."""
    figure = style.new_figure(1.0 + 5.2 * len(panels), 5.0)
    left = 0.75 / figure.get_figwidth()
    about = "digits_mlp · training loss, geometric mean over seeds with its 90 % interval"
    style.headline(figure, "Runs of equal rate over batch", about, left=left)
    width = (1.0 - left) / len(panels)
    for number, (title, panel) in enumerate(panels.items()):
        axes = style.add_axes(
            figure, left=left + number * width, bottom=0.22, width=0.83 * width, height=0.56
        )
        _panel(axes, *panel)
        axes.set_title(title, fontsize=style.SMALL, color=style.INK, loc="left")
    style.legend_of_panels(figure, axes.get_legend_handles_labels()[0], 8)
    return style.save(figure, path)


def _panel(
    axes: Axes,
    examples: Float[np.ndarray, " places"],
    losses: Mapping[int, Float[np.ndarray, "seeds places"]],
) -> None:
    bands = {size: _band(loss) for size, loss in losses.items()}
    low, high = style.positive_span(*(best for best, _, _ in bands.values()))
    style.log_axis(axes.xaxis, "training examples", examples[0], examples[-1])
    style.log_axis(axes.yaxis, "training loss (nats)", low / 1.5, high * 1.5)
    for shade, (size, (best, below, above)) in zip(
        np.linspace(0.85, 0.0, len(bands)), bands.items(), strict=True
    ):
        colour = colormaps["viridis"](shade)
        axes.fill_between(examples, below, above, color=colour, alpha=0.12, linewidth=0)
        axes.plot(examples, best, color=colour, label=f"batch {size}")


def _band(loss: Float[np.ndarray, "seeds places"]) -> Float[np.ndarray, "3 places"]:
    """Geometric mean over seeds with its interval; without a place where a trial has diverged."""
    rows = np.exp([estimate(column) for column in np.log(loss).T]).T
    return np.where(np.isfinite(rows), rows, np.nan)
