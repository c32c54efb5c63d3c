"""Intervals of differences between studies."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from lr_batch.analysis.intervals import Replicates, difference, half_widths, p_values


def of_mean(values):
    n = len(values)
    without = (values.sum() - values) / (n - 1)
    return Replicates(np.array([values.mean()]), without[:, None], np.zeros((0, 1)))


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return rng.normal(0.0, 1.0, 4), rng.normal(0.5, 3.0, 6)


def test_studies_without_a_common_seed_differ_by_welchs_interval(samples):
    one, other = samples
    apart = difference(of_mean(one), range(4), of_mean(other), range(4, 10))
    welch = scipy.stats.ttest_ind(one, other, equal_var=False)
    low, high = welch.confidence_interval(0.9)
    assert half_widths(apart, 0.9) == pytest.approx([(high - low) / 2])
    assert p_values(apart) == pytest.approx([welch.pvalue])
    assert half_widths(apart.map(lambda rows: 2 * rows), 0.9) == pytest.approx([high - low])


def test_seeds_that_both_have_are_paired(samples):
    one, other = samples[0], samples[1][:4]
    pairs = difference(of_mean(one), range(4), of_mean(other), range(4))
    assert p_values(pairs) == pytest.approx([scipy.stats.ttest_rel(one, other).pvalue])


def test_two_studies_that_are_equal_for_all_seeds_have_no_spread():
    equal = difference(of_mean(np.ones(3)), range(3), of_mean(np.ones(3)), range(3, 6))
    assert half_widths(equal).tolist() == [0.0] and p_values(equal).tolist() == [1.0]
