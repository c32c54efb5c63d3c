"""A lane is a plain loop: drawn models, losses, optimizers and data types give what Flax and Optax give, or a refusal."""

from __future__ import annotations

import os

import numpy as np
import optax
import pytest
from agreement import DRAWN, USUAL, agree, lanes_of
from hypothesis import event, given, seed, settings
from plain_loop import DRAWS, RATES, Draw, made_of, plain_loop

SHORT, LONG = 10, int(os.environ.get("LR_BATCH_DRAWS", 300))


@seed(0)
@settings(max_examples=SHORT, **DRAWN)
@given(draw=DRAWS)
def test_a_lane_is_a_plain_loop(draw):
    event(agree(draw))


@pytest.mark.slow
@pytest.mark.timeout(0)
@seed(1)
@settings(max_examples=LONG, **DRAWN)
@given(draw=DRAWS)
def test_many_lanes_are_plain_loops(draw):
    event(agree(draw))


def test_a_line_search_of_optax_is_one_of_a_plain_loop():
    """It refuses further arguments that its loss does not take, which SAM wants."""
    search = lambda h: optax.chain(optax.sgd(h["learning_rate"]), optax.scale_by_backtracking_linesearch(3))
    assert agree(Draw("pair", "cross entropy", search, "float32", 5, 16, 2, 1)) == "equal"


@pytest.mark.parametrize("fault", ["rate", "rows", "seed"])
def test_a_lane_that_is_another_loop_is_seen(fault):
    draw = Draw("pair", "cross entropy", "adam", "float32", 5, 16, 3, 1)
    agree(draw)
    wrong = {"rate": {}, "rows": {"batch_size": 4}, "seed": {"seed": 2}}[fault]
    rates = tuple(1.001 * rate for rate in RATES) if fault == "rate" else RATES
    made, other = made_of(draw), draw._replace(**wrong)
    theirs = np.array(plain_loop(other, made, rates))
    assert np.abs(lanes_of(draw, made) / theirs - 1).max() > 10 * USUAL
