"""Grid, coarse-to-fine grid, random and quasi-random search."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.stats import kstest, qmc
from search_rows import FINITE, LINE, MIXED

from hparam import coarse_to_fine, grid, parse_space, quasi_random, random
from hparam.grid import affordable_levels

KEY = jax.random.key(0)
PLANE = parse_space(["lr=log(1e-4,1)", "momentum=log1m(0.9,0.999)"])


def test_grid_is_the_product_of_even_levels():
    proposal, _ = grid(PLANE, levels={"lr": 5, "momentum": 3}).ask(KEY, grid(PLANE).init(), 15)
    rates, momenta = np.meshgrid([1e-4, 1e-3, 1e-2, 1e-1, 1], [0.9, 0.99, 0.999], indexing="ij")
    np.testing.assert_allclose(proposal.settings["lr"], rates.ravel())
    np.testing.assert_allclose(proposal.settings["momentum"], momenta.ravel())


def test_grid_counts_each_cell_of_a_conditional_space_once():
    space = parse_space(["act=choice(relu,tanh)", "slope=linear(0,1) when act=relu"])
    proposal, _ = grid(space, levels=3).ask(KEY, grid(space).init(), 4)
    assert proposal.repeat.tolist() == [0] * 4
    assert sorted(zip(*proposal.settings.values(), strict=True)) == [(0, 0), (0, 0.5), (0, 1), (1, 0)]


def test_grid_goes_on_with_the_next_seed():
    search = grid(LINE, levels=4)
    first, state = search.ask(KEY, search.init(), 6)
    second, _ = search.ask(KEY, state, 3)
    assert first.repeat.tolist() == [0, 0, 0, 0, 1, 1] and second.repeat.tolist() == [1, 1, 2]


def quadratic(optimum):
    """Distance in the unit cube from `optimum`."""
    return lambda proposal: np.sum((PLANE.to_unit(proposal.settings) - np.array(optimum)) ** 2, axis=1)


@pytest.mark.parametrize("optimum", [(0.37, 0.71), (0.0, 1.0), (0.98, 0.02)], ids=str)
def test_coarse_to_fine_closes_in_on_the_optimum(optimum):
    search = coarse_to_fine(PLANE, levels=5, tolerance=0.05)
    state, loss, trained = search.init(), quadratic(optimum), 0
    while True:
        proposal, state = search.ask(KEY, state, 25)
        state = search.tell(state, proposal, loss(proposal))
        if proposal.notes[0].endswith("done"):
            break
        trained += 25
    first = proposal.repeat == proposal.repeat.min()
    cells = PLANE.to_unit(proposal.settings)[first]
    assert np.all(np.ptp(cells, axis=0) <= 0.05) and np.all(np.abs(cells.mean(axis=0) - optimum) <= 0.05)
    assert np.all(proposal.repeat >= 1) and trained <= 175


def test_coarse_to_fine_does_not_train_shared_cells_twice():
    search = coarse_to_fine(LINE, levels=5)
    first, state = search.ask(KEY, search.init(), 5)
    state = search.tell(state, first, np.abs(np.log10(first.settings["lr"]) + 2.0))
    second, _ = search.ask(KEY, state, 2)
    # Best is 1e-2; of the five cells from 1e-3 to 1e-1 only those between the old ones are new.
    np.testing.assert_allclose(np.log10(second.settings["lr"]), [-2.5, -1.5])


def test_coarse_to_fine_fills_with_points_of_its_box():
    search = coarse_to_fine(LINE, levels=5)
    first, state = search.ask(KEY, search.init(), 5)
    state = search.tell(state, first, np.abs(np.log10(first.settings["lr"]) + 2.0))
    second, _ = search.ask(KEY, state, 16)
    assert np.all((second.settings["lr"] > 0.99e-3) & (second.settings["lr"] < 1.01e-1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grid(LINE, levels=10**9), "levels make 1,000,000,000 settings, more than 1,000,000"),
        (lambda: coarse_to_fine(PLANE, levels=4_000), "levels make 16,000,000 settings"),
        (lambda: grid(LINE, levels=0), "levels of lr must be >= 1, got 0"),
        (lambda: grid(LINE, levels={"x": 2}), "levels must name lr, got x"),
        (lambda: coarse_to_fine(LINE, levels=3), "levels must be >= 4, got 3"),
        (lambda: coarse_to_fine(LINE, tolerance=0.0), r"tolerance must be in \(0, 1\), got 0"),
    ],
)
def test_options_are_checked_at_construction(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_random_is_uniform_on_the_scale_of_each_dimension():
    """n = 512, Kolmogorov-Smirnov at 1e-3 for each of two dimensions; the key is fixed."""
    proposal, _ = random(PLANE).ask(KEY, random(PLANE).init(), 512)
    for column in PLANE.to_unit(proposal.settings).T:
        assert kstest(column, "uniform").pvalue > 1e-3


def test_quasi_random_goes_on_with_one_sequence():
    search = quasi_random(PLANE)
    whole, _ = search.ask(KEY, search.init(), 48)
    first, state = search.ask(KEY, search.init(), 17)
    second, _ = search.ask(KEY, state, 31)
    parts = np.concatenate([first.settings["lr"], second.settings["lr"]])
    np.testing.assert_array_equal(parts, whole.settings["lr"])


def test_quasi_random_is_more_even_than_random():
    """Centred discrepancy of 64 points, every one of 8 scrambles below every one of 8 random draws."""
    discrepancy = {}
    for make in (quasi_random, random):
        asked = [make(PLANE).ask(jax.random.key(i), make(PLANE).init(), 64)[0] for i in range(8)]
        discrepancy[make] = [qmc.discrepancy(PLANE.to_unit(proposal.settings)) for proposal in asked]
    assert max(discrepancy[quasi_random]) < min(discrepancy[random])


def test_quasi_random_puts_one_point_in_each_of_64_slices():
    proposal, _ = quasi_random(PLANE).ask(KEY, quasi_random(PLANE).init(), 64)
    for column in PLANE.to_unit(proposal.settings).T:
        assert sorted((column * 64).astype(int).tolist()) == list(range(64))


def test_seeds_beyond_a_finite_space_go_to_the_best():
    search = quasi_random(FINITE)
    first, state = search.ask(KEY, search.init(), 48)
    losses = np.arange(48.0)
    second, _ = search.ask(KEY, search.tell(state, first, losses), 5)
    assert second.repeat.tolist() == [1] * 5
    np.testing.assert_array_equal(second.settings["k"], first.settings["k"][:5])
    np.testing.assert_array_equal(second.settings["n"], first.settings["n"][:5])


def test_settings_are_columns_of_float64():
    proposal, _ = random(MIXED).ask(KEY, random(MIXED).init(), 3)
    assert {column.dtype for column in proposal.settings.values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize(("trials", "levels"), [(4, 2), (24, 4), (63, 7), (64, 8), (1000, 8)])
def test_a_grid_covers_the_space_with_the_trials_there_are(trials, levels):
    assert affordable_levels(PLANE, trials) == levels
    proposal, _ = grid(PLANE, levels).ask(KEY, grid(PLANE).init(), levels**2)
    for name, ends in (("lr", (1e-4, 1)), ("momentum", (0.9, 0.999))):
        np.testing.assert_allclose((proposal.settings[name].min(), proposal.settings[name].max()), ends)


def test_a_grid_that_trials_cannot_pay_is_refused():
    with pytest.raises(ValueError, match="the ends of all ranges are 4 settings, more than 3 trials"):
        affordable_levels(PLANE, 3)
