"""The recipe that times what evaluations take beside steps."""

from __future__ import annotations

import numpy as np
import pytest

from lr_batch.engine import Cadence
from runs.recipes.evaluation_share import Costs

CADENCE = Cadence(np.array([0, 10, 20, 100]), np.array([64, 164, 0, 64]))


def test_rows_between_few_and_all_are_a_line():
    """264 rows: 1, 3, 5 and 1 s, and a step takes a tenth."""
    costs = Costs(step=0.1, few=1.0, all=5.0)
    assert costs.evaluations(CADENCE, 99, 264) == pytest.approx(1 + 3 + 5)
    assert costs.share(CADENCE, 100, 264) == pytest.approx(10 / (10 + 10))
    assert costs.share(CADENCE, 10, 264) == pytest.approx(4 / (4 + 1))
    assert Costs(0.1, 1.0, 1.0).evaluations(CADENCE._replace(rows=np.zeros(4, int)), 100, 40) == 4
