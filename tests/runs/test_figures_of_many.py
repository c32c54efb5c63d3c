"""Figures with many layers, long names and intervals that reach below the axis: all in sight, each told apart."""

import numpy as np
import pytest

from hparam import CoordinateCheck
from lr_batch import Estimate
from runs.plots import style
from runs.plots.long_names import short_path
from runs.regularize.axes import errorbars, log_axis
from runs.transfer.figures import FEW, coordinates

PARTS = ("ln_1", "SelfAttention_0/query", "SelfAttention_0/key", "SelfAttention_0/out", "mlp/Dense_0")
LAYERS = tuple(f"TransformerBlock_{block}/{part}" for block in range(5) for part in PARTS)


def check(layers, exponent):
    widths = (16, 32, 64, 128)
    change = np.stack([0.02 * (1 + j % 7) * np.array(widths, float) ** exponent for j in range(len(layers))])
    return CoordinateCheck(widths, layers, change[:, :, None], change[:, :, None])


@pytest.mark.parametrize("num", [1, 3, FEW, FEW + 1, 25])
def test_every_layer_of_a_coordinate_check_is_named_in_sight(num, tmp_path):
    layers = LAYERS[:num]
    figure = coordinates({"standard": check(layers, 0.5), "muP": check(layers, 0.0)}, "a study")
    (legend,) = figure.legends
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width
    assert box.y1 <= min(axes.get_tightbbox().y0 for axes in figure.axes), "below the axes"
    names = [text.get_text() for text in legend.get_texts()]
    colours = [handle.get_color() for handle in legend.legend_handles]
    assert len(set(names)) == num and len({str(colour) for colour in colours}) == num
    beside = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len(beside) == (2 * num if num <= FEW else 0)
    assert all("(+0.50, +0.00)" in name or "(+0.50, -0.00)" in name for name in names) or num <= FEW


def test_interval_below_a_log_axis_leaves_it_by_an_arrow():
    axes = style.add_axes(style.new_figure())
    values = [Estimate(0.2, 0.04, 0.3), Estimate(0.1, -0.1, 0.3), Estimate(0.1, 1e-9, 0.3)]
    errorbars(axes, values, "#123456", "batch 8", 0.0)
    log_axis(axes, "loss")
    arrows = [line for line in axes.lines if line.get_marker() == "v"]
    assert [list(line.get_xdata()) for line in arrows] == [[1.0, 2.0]]
    assert 0.01 < axes.get_ylim()[0] < 0.04, "an interval that the axis can hold is not cut"


def test_cut_names_of_layers_stay_apart():
    assert short_path("Dense_0", 20) == "Dense_0"
    assert len({short_path(layer, 28) for layer in LAYERS}) == len(LAYERS)
