"""Laws of the best rate, from studies that follow one of them."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from lr_batch.analysis.learning_rate_law import LAWS, learning_rate_law
from lr_batch.analysis.optimum import Estimate
from tests.lr_batch.known_curve import BATCH_SIZES, draw_result
from tests.lr_batch.test_critical_batch import _optima

B = BATCH_SIZES.astype(float)
TRUE_RATES = {
    "constant": np.full(11, 0.1),
    "linear until a knee": 0.01 * np.minimum(B, 64),
    "power until a knee": 0.01 * np.minimum(B, 64) ** 0.7,
    "saturating": 1.0 / (1 + 32 / B),
    "square root": 0.02 * B**0.5,
    "power": 0.02 * B**0.3,
    "surge": 1.0 / (0.5 * np.sqrt(32 / B) + 0.5 * np.sqrt(B / 32)),
}
RESULT = draw_result(0)  # Only its hyperparameters' names are read where the optima are given.


def _law(rates, edges=MappingProxyType({}), seed=0, sd=0.06):
    noisy = rates * np.exp(sd * np.random.default_rng(seed).standard_normal(11))
    half = np.exp(1.645 * sd)
    optima = [
        row._replace(learning_rate=Estimate(rate, rate / half, rate * half), edge=edges.get(row.batch_size))
        for row, rate in zip(_optima(np.full((11, 2), 50.0)), noisy, strict=True)
    ]
    return learning_rate_law(RESULT, optima=optima)


@pytest.mark.parametrize("name", list(TRUE_RATES))
def test_true_law_comes_first(name):
    # A special case of a law may tie with it: a free power finds 1/2 as well.
    law = _law(TRUE_RATES[name])
    best = [fit.name for fit in law.ranking if fit.held_out > law.ranking[0].held_out - 0.1]
    assert name in best
    fit = next(fit for fit in law.ranking if fit.name == name)
    np.testing.assert_allclose(fit.rate(B), TRUE_RATES[name], rtol=0.12)
    assert {fit.name for fit in law.ranking} == set(LAWS)


@pytest.mark.parametrize(
    ("name", "power"), [("linear until a knee", 1.0), ("power until a knee", 0.7), ("power", 0.3)]
)
def test_exponent_interval_covers(name, power):
    """90 % intervals in 24 studies: fewer than 17 happens by chance about once in 500."""
    laws = [_law(TRUE_RATES[name], seed=seed) for seed in range(24)]
    assert sum(law.low <= power <= law.high for law in laws) >= 17
    assert np.mean([law.exponent for law in laws]) == pytest.approx(power, abs=0.05)


def test_study_with_a_saturating_rate():
    law = learning_rate_law(RESULT)
    assert law.best == "saturating"
    assert law.reliable
    np.testing.assert_allclose(law.rate(B), TRUE_RATES["saturating"], rtol=0.25)
    assert law.low < law.exponent < law.high < 1.2


def test_edges_are_left_out_and_named():
    rates = TRUE_RATES["linear until a knee"].copy()
    rates[-2:] = 0.1  # Not where the optimum is, but where the grid ended.
    law = _law(rates, edges={512: "high", 1024: "high"})
    assert not law.reliable
    assert "512, 1024" in law.notes[0]
    assert law.exponent == pytest.approx(1.0, abs=0.1)


def test_refuses_too_few_batch_sizes_and_studies_without_rates():
    with pytest.raises(ValueError, match="at least 4 batch sizes"):
        learning_rate_law(RESULT, optima=_optima(np.ones((3, 2)), BATCH_SIZES[:3]))
    with pytest.raises(ValueError, match="no hyperparameter 'learning_rate'"):
        learning_rate_law(type(RESULT)(**{**RESULT._asdict(), "hparams": {}}))
    once = draw_result(0, grid=np.array([0.1]))
    with pytest.raises(ValueError, match="several learning rates at each batch size, got 1"):
        learning_rate_law(once)
