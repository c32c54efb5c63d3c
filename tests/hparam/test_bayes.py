"""The Gaussian process against scikit-learn's, its fantasies and its acquisition against closed forms."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import integrate, stats
from search_rows import FINITE, LINE, play
from sklearn.gaussian_process import GaussianProcessRegressor

from hparam import bayes, from_settings, parse_space
from hparam.acquisition import choose_batch, log_expected_improvement
from hparam.bayes import cells_of, models
from hparam.gaussian_process import fantasize, fit, predict
from hparam.search import Segment, State, segment_id

KEY = jax.random.key(0)
PLANE = parse_space(["x=linear(0,1)", "y=linear(0,1)"])


OPTIMUM = np.array([0.3, 0.7])


def stacked(proposal):
    """Settings as [n, dims]."""
    return np.stack(list(proposal.settings.values()), axis=1)


def observations(n=12, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.random((n, 2))
    return points, np.sin(5 * points[:, 0]) + points[:, 1] ** 2, rng.random((7, 2))


def state_of(space, settings, losses, repeats=None):
    """A state in which `losses` were told for rows of `settings`."""
    repeats = [0] * len(settings) if repeats is None else repeats
    rows = [Segment(s, repeat=r, loss=loss) for s, r, loss in zip(settings, repeats, losses, strict=True)]
    return State(dict(sorted((segment_id(space, row), row) for row in rows)))


def test_posterior_is_that_of_scikit_learn():
    points, values, new = observations()
    noise = np.full(12, 0.01)
    posterior = fit(points, values, noise, seed=0)
    white = posterior.noise - np.mean(noise) / posterior.scale**2 - 1e-8
    regressor = GaussianProcessRegressor(
        posterior.kernel, alpha=noise / posterior.scale**2 + 1e-8 + white, optimizer=None
    ).fit(points, (values - posterior.shift) / posterior.scale)
    mean, std = regressor.predict(new, return_std=True)
    ours = predict(posterior, new)
    np.testing.assert_allclose(ours[0], posterior.shift + posterior.scale * mean, rtol=1e-9)
    np.testing.assert_allclose(ours[1], posterior.scale * std, rtol=1e-6)


def test_posterior_passes_through_exact_observations():
    points, values, _ = observations()
    mean, std = predict(fit(points, values, None, seed=0), points)
    np.testing.assert_allclose(mean, values, atol=0.02)
    assert np.all(std < 0.05)


def test_fantasies_keep_the_mean_and_shrink_the_uncertainty():
    """Bordering the Cholesky factor equals factorizing the larger matrix."""
    points, values, new = observations()
    posterior = fit(points, values, np.full(12, 0.01), seed=0)
    pending = new[:3]
    extended = fantasize(posterior, pending)
    joined = np.concatenate([points, pending])
    noise = np.diag(posterior.factor @ posterior.factor.T - posterior.kernel(points))
    known = np.concatenate([noise, [posterior.noise] * 3])
    full = np.linalg.cholesky(posterior.kernel(joined) + np.diag(known))
    np.testing.assert_allclose(extended.factor, full, atol=1e-9)
    np.testing.assert_allclose(predict(extended, new)[0], predict(posterior, new)[0], rtol=1e-9)
    assert np.all(predict(extended, new)[1] < predict(posterior, new)[1])


@pytest.mark.parametrize("z", [-20.0, -5.0, -1.001, -0.999, 0.0, 3.0, 30.0])
def test_log_expected_improvement_is_the_integral(z):
    mean, std = 2.0 - 0.7 * z, 0.7
    # In units of the density at the upper end, so that the far tail does not underflow.
    scale = stats.norm.logpdf(min(z, 0.0))

    def integrand(t):
        return (z - t) * np.exp(stats.norm.logpdf(t) - scale)

    kink = [0.0] if z > 0 else None
    area = integrate.quad(integrand, min(z, 0.0) - 12, z, limit=400, points=kink)[0]
    value = log_expected_improvement(np.array([mean]), np.array([std]), 2.0)[0]
    np.testing.assert_allclose(value, np.log(std) + np.log(area) + scale, rtol=1e-6)


def test_log_expected_improvement_is_finite_and_ordered_far_away():
    means = np.logspace(0, 8, 40)
    values = log_expected_improvement(means, np.ones(40), 0.0)
    assert np.all(np.isfinite(values)) and np.all(np.diff(values) < 0)


def test_seeds_of_a_cell_are_averaged_and_give_its_noise():
    settings = [(0.1, 0.1)] * 4 + [(0.5, 0.5)] * 2 + [(0.9, 0.9)]
    losses = [1.0, 3.0, 1.0, 3.0, 5.0, 5.0, 7.0]
    cells = cells_of(PLANE, state_of(PLANE, settings, losses, [0, 1, 2, 3, 0, 1, 0]))
    order = np.argsort(cells.loss)
    np.testing.assert_allclose(cells.loss[order], [2.0, 5.0, 7.0])
    # Squares 4, 0, none on 3, 1, 0 degrees of freedom: pooled 1, prior weight 4, over the number of seeds.
    np.testing.assert_allclose(cells.noise[order], [8 / 7 / 4, 4 / 5 / 2, 1.0])


def test_without_repeated_seeds_the_noise_is_left_to_the_fit():
    assert cells_of(PLANE, state_of(PLANE, [(0.1, 0.1), (0.2, 0.2)], [1.0, 2.0])).noise is None


def test_diverged_settings_are_infeasible_and_leave_the_loss_alone():
    points, values, _ = observations(24)
    alive = points[:, 0] < 0.6
    state = state_of(PLANE, [tuple(p) for p in points.tolist()], np.where(alive, values, np.inf).tolist())
    loss, feasible = models(cells_of(PLANE, state), np.random.default_rng(0))
    np.testing.assert_array_equal(predict(feasible, points)[0] > 0.5, alive)
    np.testing.assert_allclose(predict(loss, points[alive])[0], values[alive], atol=0.05)


def test_a_huge_loss_does_not_flatten_the_others():
    points, values, _ = observations(24)
    values[0] = 1e9
    state = state_of(PLANE, [tuple(p) for p in points.tolist()], values.tolist())
    loss, _ = models(cells_of(PLANE, state), np.random.default_rng(0))
    assert np.corrcoef(predict(loss, points[1:])[0], values[1:])[0, 1] > 0.9


def test_a_batch_polishes_the_optimum_without_crowding():
    """A bowl is known after 16 observations: one lane goes to its bottom, and no two to the same place."""
    search = bayes(PLANE)
    proposal, state = search.ask(KEY, search.init(), 16)
    state = search.tell(state, proposal, np.sum((stacked(proposal) - OPTIMUM) ** 2, axis=1))
    points = stacked(search.ask(KEY, state, 16)[0])
    gaps = np.max(np.abs(points[:, None] - points[None]), axis=-1)[np.triu_indices(16, 1)]
    assert np.min(gaps) >= 0.0199 and np.min(np.linalg.norm(points - OPTIMUM, axis=1)) < 0.02


def test_finds_the_minimum_of_a_bowl_that_half_diverges():
    """The minimum lies at the edge of what diverges, where the best learning rates lie."""
    search = bayes(PLANE)
    state = search.init()
    for _ in range(3):
        proposal, state = search.ask(KEY, state, 12)
        x, y = proposal.settings.values()
        state = search.tell(state, proposal, np.where(x > 0.62, np.inf, (x - 0.6) ** 2 + (y - 0.4) ** 2))
    # 36 points spread evenly have one within 1e-2 or so; over 4 keys the model's best was below 1e-5.
    assert min(segment.loss for segment in state.told) < 1e-4


def test_pending_points_are_not_asked_again():
    search = bayes(LINE)
    state, _ = play(search, 1, 12)
    first, state = search.ask(KEY, state, 6)
    second, _ = search.ask(KEY, state, 6)
    rates = np.log10(np.concatenate([first.settings["lr"], second.settings["lr"]]))
    assert np.min(np.diff(np.sort(rates))) > 1e-5


def test_a_finite_space_is_used_up_before_a_seed_is_repeated():
    search = bayes(FINITE)
    state, _ = play(search, 3, 16)
    assert {segment.repeat for segment in state.segments.values()} == {0}
    proposal, _ = search.ask(KEY, state, 8)
    assert proposal.repeat.tolist() == [1] * 8


@pytest.mark.parametrize(
    ("losses", "note"),
    [
        (np.full(8, np.inf), "bayes: all 8 settings diverged; quasi-random points"),
        (np.full(8, 1.0), "bayes: all losses are equal; quasi-random points"),
        ([1.0, 2.0, 3.0] + [np.nan] * 5, "bayes: 3 finite losses, fewer than 4; quasi-random points"),
    ],
)
def test_falls_back_to_quasi_random_points_with_a_note(losses, note):
    search = bayes(LINE)
    told = from_settings(LINE, {"lr": np.logspace(-3.5, -0.5, 8)})
    proposal, _ = search.ask(KEY, search.tell(search.init(), told, losses), 4)
    assert proposal.notes == (note,) and len(set(proposal.settings["lr"].tolist())) == 4


def test_choose_batch_ends_when_a_finite_space_does():
    space = parse_space(["n=int(1,4)"])
    posterior = fit(space.points([(1.0,), (2.0,)]), np.array([1.0, 2.0]), None, seed=0)
    rng = np.random.default_rng(0)
    chosen = choose_batch(space, posterior, None, 8, num_explore=0, taken=[(1.0,), (2.0,)], rng=rng)
    assert sorted(chosen) == [(3.0,), (4.0,)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 1}, "initial must be >= 2, got 1"),
        ({"explore": 1.5}, r"explore must be in \[0, 1\], got 1.5"),
    ],
)
def test_options_are_checked_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        bayes(LINE, **options)
