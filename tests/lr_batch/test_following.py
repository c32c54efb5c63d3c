"""The best rate is followed from batch size to batch size: what is measured, and that it decides the same."""

import numpy as np
import pytest
from tiny import run, tiny_study

import lr_batch
from lr_batch import following
from lr_batch.following import FIRST, OTHERS, best_rate, to_measure
from lr_batch.grid import log_grid

RATES = log_grid(0.001, 4.0, 16)
LOG_RATE, LOG_SIZE = np.log(RATES), np.log(2.0 ** np.arange(9))
SEEDS = 4


def valley(centres, *, scatter=0.0, within=2.0):
    """Steps of every trial whose best log rates are `centres`; infinite beyond `within` times the fewest."""
    rng = np.random.default_rng(0)
    shift = rng.normal(0.0, scatter, (len(centres), SEEDS, 1)) if scatter else 0.0
    excess = 0.5 * (LOG_RATE - np.asarray(centres)[:, None, None] - shift) ** 2
    steps = 100.0 * np.exp(np.broadcast_to(excess, (len(centres), SEEDS, len(RATES))))
    return np.where(steps <= within * steps.min(2, keepdims=True), steps, np.inf)


def followed(steps):
    """(which trials are measured in the end, how many rounds that takes)."""
    known, rounds = np.full(steps.shape, np.nan), 0
    while (wanted := to_measure(LOG_RATE, LOG_SIZE, known)).any():
        assert np.isnan(known[wanted]).all()
        known, rounds = np.where(wanted, steps, known), rounds + 1
    return ~np.isnan(known), rounds


def inside(measured, steps):
    """Whether the best rate of the seeds together is measured with a neighbour on either side, where there is one."""
    best = np.median(steps, axis=1).argmin(1)
    neighbours = np.clip(best[:, None] + [-1, 0, 1], 0, len(RATES) - 1)
    return bool(np.take_along_axis(measured.all(1), neighbours, axis=1).all())


def test_the_first_seed_begins_with_the_whole_grid_at_three_batch_sizes():
    wanted = to_measure(LOG_RATE, LOG_SIZE, np.full((9, SEEDS, 16), np.nan))
    assert wanted[[0, 4, 8], 0].all() and wanted.sum() == 3 * 16


def test_then_windows_around_the_line_and_around_the_best_rate_of_the_first_seed():
    steps, known = valley(np.linspace(-4.0, 0.0, 9)), np.full((9, SEEDS, 16), np.nan)
    known[[0, 4, 8], 0] = steps[[0, 4, 8], 0]
    wanted = to_measure(LOG_RATE, LOG_SIZE, known)
    assert not wanted[[1, 2, 3, 5, 6, 7], 1:].any()  # they wait for the first seed
    near = np.abs(LOG_RATE - np.linspace(-4.0, 0.0, 9)[:, None])
    np.testing.assert_array_equal(wanted[2, 0], near[2] <= FIRST)
    np.testing.assert_array_equal(wanted[8, 1:], np.broadcast_to(near[8] <= OTHERS, (3, 16)))


@pytest.mark.parametrize("scatter", [0.0, 0.15])
def test_the_best_rate_is_found_with_less_than_half_of_the_trials(scatter):
    steps = valley(np.linspace(-4.0, 0.0, 9), scatter=scatter)
    measured, rounds = followed(steps)
    assert inside(measured, steps) and measured.mean() < 0.45 and rounds <= 5


def test_windows_grow_until_the_best_rate_is_inside():
    bent = np.array(
        [-5.0, -1.0, -1.0, -1.0, -1.0, -1.0, -5.0, -5.0, 0.0]
    )  # far from lines between three points
    steps = valley(bent)
    measured, rounds = followed(steps)
    assert inside(measured, steps) and rounds > 3


def test_a_seed_unlike_the_first_moves_no_window_and_two_of_three_do():
    steps = valley(np.full(9, -2.0))
    steps[:, 1] = np.roll(steps[:, 1], 4, axis=1)
    assert followed(steps)[0].sum() == followed(valley(np.full(9, -2.0)))[0].sum()
    steps[:, 2] = steps[:, 1]
    assert inside(followed(steps)[0], steps)


@pytest.mark.parametrize("end", [0, 15])
def test_a_best_rate_at_the_end_of_the_grid_is_seen_there(end):
    measured, _ = followed(valley(np.full(9, LOG_RATE[end])))
    assert measured[:, :, end].all() and measured.mean() < 0.45


def test_where_nothing_reaches_the_goal_the_whole_grid_is_measured():
    steps = valley(np.full(9, -2.0))
    steps[3] = np.inf
    assert followed(steps)[0][3].all()
    assert followed(np.full((9, SEEDS, 16), np.inf))[0].all()


def test_few_rates_or_seeds_or_batch_sizes_are_no_special_case():
    for sizes, seeds, rates in ((1, 1, 1), (1, 4, 16), (2, 1, 3), (3, 2, 2)):
        steps, log_rate = np.full((sizes, seeds, rates), np.nan), np.linspace(-6.0, 1.0, rates)
        while (wanted := to_measure(log_rate, LOG_SIZE[:sizes], steps)).any():
            steps[wanted] = np.broadcast_to(1.0 + np.arange(rates), steps.shape)[wanted]
        assert not np.isnan(steps).all(2).any()


def test_the_best_rate_lies_between_rates_that_are_as_fast():
    steps = np.full(16, np.inf)
    assert np.isnan(best_rate(LOG_RATE, steps))
    steps[[6, 7]] = 50.0, 50.0
    np.testing.assert_allclose(best_rate(LOG_RATE, steps), (LOG_RATE[6] + LOG_RATE[7]) / 2)
    steps[6] = 100.0
    np.testing.assert_allclose(best_rate(LOG_RATE, steps), LOG_RATE[7], atol=0.01)


GRID = dict(batch_sizes=(1, 2, 4, 40), seeds=3, space={"learning_rate": log_grid(0.01, 10.0, 10)})


@pytest.fixture(scope="module")
def full():
    return run(tiny_study(**GRID))


def numbers(result):
    rows = zip(result.batch_size, result.seed, result.hparams["learning_rate"], strict=True)
    return dict(zip(map(tuple, rows), result.steps_to_goal, strict=True))


def test_a_trial_is_the_same_whether_its_neighbours_are_measured_or_not(full):
    result = run(tiny_study(**GRID, follow=True))
    whole, some = numbers(full), numbers(result)
    assert len(some) < 0.7 * len(whole) == 0.7 * result.grid_trials
    np.testing.assert_array_equal([whole[trial] for trial in some], list(some.values()))
    for one, other in zip(lr_batch.best_settings(full), lr_batch.best_settings(result), strict=True):
        assert abs(np.log(one.steps / other.steps)) < 0.25 * np.log(one.high / one.low)


def test_a_study_that_was_interrupted_measures_what_it_would_have():
    kept = {}

    class Kept:
        load = staticmethod(lambda chunk: kept.get(chunk.id))

        @staticmethod
        def save(chunk, rows):
            kept[chunk.id] = rows

    def stop(progress):
        if progress.chunks_done == 6:  # in the second round
            raise KeyboardInterrupt

    study = tiny_study(**GRID, follow=True)
    with pytest.raises(KeyboardInterrupt):
        run(study, Kept, stop)
    before = set(kept)
    resumed = run(study, Kept)
    assert before and before < set(kept)
    assert numbers(resumed) == pytest.approx(numbers(run(study, workers=1)), nan_ok=True, abs=0)


def test_what_does_not_fit_into_memory_is_not_asked_for_again(full):
    study = tiny_study(**GRID, follow=True)
    lost = full._replace(steps_to_goal=np.full_like(full.steps_to_goal, np.nan), batch_size=full.batch_size)
    rounds = list(following.rounds(study, lambda: lost))
    assert sum(len(settings) for one in rounds for settings in one.cells.values()) == study.num_trials


def test_the_best_rate_of_each_momentum_is_followed_for_itself():
    space = {"learning_rate": log_grid(0.01, 10.0, 10), "momentum": (0.0, 0.9)}
    optimizer = lambda hparams: sgd_with_momentum(hparams)
    study = tiny_study(**{**GRID, "space": space, "optimizer": optimizer, "follow": True})
    first = next(following.rounds(study, lambda: None))
    assert set(first.cells) == {(size, 0) for size in (1, 4, 40)}
    assert [len(settings) for settings in first.cells.values()] == [20, 20, 20]
    # Windows of 3.5 and 2.8 in log rate where rates are 0.77 apart, with both momenta.
    assert first.to_come == {1: [8, 8], 2: [10, 8, 8], 4: [8, 8], 40: [8, 8]}


def sgd_with_momentum(hparams):
    import optax

    return optax.sgd(hparams["learning_rate"], momentum=hparams["momentum"])


def test_a_search_has_no_grid_to_follow():
    import hparam

    space = hparam.Space({"learning_rate": hparam.log(1e-3, 1.0)})
    design = hparam.search_design(space, trials=4)
    with pytest.raises(ValueError, match="^study: follow is for grids of learning rates"):
        lr_batch.Study("digits_mlp", design=design, follow=True)
