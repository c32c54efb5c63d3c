"""The fastest members of a population, drawn piece by piece."""

from types import SimpleNamespace

from lr_batch import Axis, Piece
from runs.curve.figures.lineages import _draw, _held
from runs.plots import style

PIECES = (
    Piece(0, {"learning_rate": 0.1, "momentum": 0.5}),
    Piece(25, {"learning_rate": 0.1, "momentum": 0.9}),
    Piece(50, {"learning_rate": 0.02, "momentum": 0.9}),
)


def test_a_value_holds_while_others_change():
    assert _held(PIECES, "learning_rate") == [(0, 0.1), (50, 0.02)]
    assert _held(PIECES, "momentum") == [(0, 0.5), (25, 0.9)]


def test_batch_sizes_of_one_setting_do_not_cover_each_other():
    axes = style.add_axes(style.new_figure())
    reached = [SimpleNamespace(batch_size=8, steps=100.0), SimpleNamespace(batch_size=16, steps=60.0)]
    words = SimpleNamespace(words=lambda name, value: f"{value:g}")
    _draw(axes, words, reached, [PIECES, PIECES[:1]], "learning_rate", Axis("log", (0.01, 1.0)))
    bars = [(round(bar.get_y(), 2), bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert bars == [(-0.36, 12.5, 50.0), (-0.36, 50.0, 100.0), (0.64, 12.5, 60.0)]
    assert [text.get_text() for text in axes.texts] == ["0.1", "0.02", "0.1"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["8", "16"]
