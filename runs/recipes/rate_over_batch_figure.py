"""Loss against examples of runs at equal rate over batch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runs.plots import style

# Examples, and the losses there of every batch size.
Panel = tuple[Float[np.ndarray, " places"], Mapping[int, Float[np.ndarray, "seeds places"]]]


def draw(panels: Mapping[str, Panel], path: Path) -> Figure:
    """A panel for each title, a line for each batch size, the smallest light."""
    figure = style.new_figure(1.0 + 5.2 * len(panels), 5.0)
    left = 0.75 / figure.get_figwidth()
    about = "digits_mlp · training loss, geometric mean over seeds"
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
    low, high = style.positive_span(*losses.values())
    style.log_axis(axes.xaxis, "training examples", examples[0], examples[-1])
    style.log_axis(axes.yaxis, "training loss (nats)", low / 1.2, high * 1.2)
    for shade, (size, loss) in zip(np.linspace(0.85, 0.0, len(losses)), losses.items(), strict=True):
        mean = np.exp(np.log(loss).mean(axis=0))
        shown = np.where(np.isfinite(mean), mean, np.nan)
        axes.plot(examples, shown, color=colormaps["viridis"](shade), label=f"batch {size}")
