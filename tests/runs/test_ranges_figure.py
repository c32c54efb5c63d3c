"""The figure of searched ranges: its legend has what is drawn, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lr_batch import Estimate
from runs.curve.figures.ranges import NEAR, draw_ranges
from runs.plots import style

SIZES = np.array([8, 8, 16, 16])
INSIDE, AT_END = "best of the surface", "best of the surface, at the end of the range"


def drawn(steps, edges):
    """Names in the legend of one range, a batch size's best at an end where `edges` says so."""
    axis = SimpleNamespace(scale="log", values=(0.01, 1.0))
    result = SimpleNamespace(
        searched=SimpleNamespace(axes={"learning_rate": axis}),
        hparams={"learning_rate": np.array([0.1, 1.0, 0.1, 1.0])},
        batch_size=SIZES,
        steps_to_goal=np.array(steps, float),
    )
    optima = [
        SimpleNamespace(
            batch_size=size,
            steps=9.0,
            learning_rate=Estimate(0.1, 0.05, 0.2),
            others={},
            edges={"learning_rate": edge} if edge else {},
        )
        for size, edge in zip((8, 16), edges, strict=True)
    ]
    axes = style.add_axes(style.new_figure())
    draw_ranges([axes], result, SimpleNamespace(optima=optima))
    return [handle.get_label() for handle in axes.get_legend_handles_labels()[0]]


@pytest.mark.parametrize(
    ("edges", "best"),
    [((None, None), [INSIDE]), ((None, "high"), [INSIDE, AT_END]), (("low", "high"), [AT_END])],
)
def test_a_best_at_the_end_of_its_range_is_named_where_there_is_one(edges, best):
    near = f"reached the goal within {NEAR:g} times the fewest steps"
    assert drawn([9, np.nan, 9, np.nan], edges) == ["tried", near, *best]


def test_trials_are_named_by_what_became_of_them():
    assert not [name for name in drawn([np.nan] * 4, (None, None)) if "reached" in name]
    assert "tried" not in drawn([9, 9, 9, 9], (None, None))
