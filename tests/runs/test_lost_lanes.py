"""The recipe that replays brisk races on curves that are there."""

from __future__ import annotations

import numpy as np
import pytest

from runs.recipes.lost_lanes import Cell, behind, examples

STEPS = np.array([0, 1, 2, 4, 8, 12, 16, 24, 32])


def cell(*scales: float) -> Cell:
    """Lanes whose metric falls like 1 / steps, each on its scale of time; the first is at the goal at step 16."""
    scale = np.array(scales)
    average = 1.0 / np.maximum(STEPS[:, None] / scale, 0.5)
    return Cell(2, np.arange(len(scale)), STEPS, average, np.where(scale <= 2, 16 * scale, np.nan))


def test_lanes_are_behind_from_the_first_goal_on_by_slack_and_safety():
    gone = behind(cell(1.0, 2.0, 3.0, 5.0), 2.0)
    assert not gone[:6].any(), "nobody has reached the goal"
    assert gone[6:].tolist() == [[False, False, False, True]] * 3, (
        "four times as slow as the first, and slower"
    )
    assert behind(cell(1.0, 1.9, 3.0, 5.0), 1.0)[6].tolist() == [False, False, True, True]


@pytest.mark.parametrize(("block", "blocks_of_steps"), [(1, 32 + 16), (2, 2 * 32), (4, 4 * 32)])
def test_a_block_takes_its_time_as_long_as_one_of_its_lanes_is_trained(block, blocks_of_steps):
    race = cell(1.0, 2.0)
    asked, gone = np.ones(2, bool), np.zeros((len(STEPS), 2), bool)
    gone[6:, 0] = True
    assert examples(race, asked, gone, block) == 2 * blocks_of_steps
    assert examples(race, np.array([True, False]), gone, 1) == 2 * 16
