"""Powers of the critical batch size, from replicates made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lr_batch.analysis.critical_exponents import slope
from lr_batch.analysis.intervals import Replicates


def replicates(best, spread):
    return Replicates(np.array([best]), best + spread[:, None], np.array([[best + 0.01]]))


def test_a_slope_is_through_points_whose_seeds_are_left_out_together():
    """What a seed does to all points alike moves no slope; what it does to one of them does."""
    alike, x = np.array([0.3, -0.2, -0.1]), np.log([16.0, 64.0, 256.0])
    points = [(replicates(at, np.zeros(3)), replicates(0.5 * at, alike)) for at in x]
    found = slope(points)
    assert found.best == pytest.approx([0.5]) and found.without[:, 0] == pytest.approx([0.5] * 3)
    assert found.shifts.shape == (3, 1) and found.shifts[2, 0] > 0.5 > found.shifts[0, 0]
    apart = slope([*points[:2], (points[2][0], replicates(0.5 * x[2], np.zeros(3)))])
    assert np.ptp(apart.without) > 0.05
