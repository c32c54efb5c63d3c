"""Grids of hyperparameters."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lr_batch.grid import log_grid, product


@given(low=st.floats(1e-12, 1e6), factor=st.floats(1.5, 1e9), num=st.integers(2, 40))
def test_evenly_spaced_in_the_logarithm_between_exact_ends(low, factor, num):
    grid = log_grid(low, low * factor, num)
    assert len(grid) == num and grid[0] == low and grid[-1] == low * factor
    spacing = math.log(factor) / (num - 1)
    np.testing.assert_allclose(np.diff(np.log(grid)), spacing, atol=1e-5)  # six digits are kept


@pytest.mark.parametrize(
    ("low", "high", "num"),
    [(0, 1, 3), (-1, 1, 3), (1, 1, 3), (2, 1, 3), (math.nan, 1, 3), (1, math.inf, 3), (1, 2, 1), (1, 2, 2.5)],
)
def test_bounds_and_number_that_make_no_grid(low, high, num):
    with pytest.raises(ValueError, match=r"^log_grid: (bounds must be finite with 0 < low < high|num)"):
        log_grid(low, high, num)


def test_product_is_every_setting_once_the_last_name_fastest():
    space = {"a": (1.0, 2.0), "b": (3.0,), "c": (4.0, 5.0, 6.0)}
    assert [tuple(setting.values()) for setting in product(space)] == list(itertools.product(*space.values()))
    assert all(list(setting) == ["a", "b", "c"] for setting in product(space))
