"""The answer of a search on made-up fresh seeds: which setting, what it reaches, and what cannot be told from it."""

import numpy as np
import pytest

from hparam.tuning import answer
from hparam.tuning.answer import not_told_apart, reached
from hparam.tuning.confirm import Finalist

SEEDS = 8


def finalist(name: float, *fresh: float, searched: float = 0.0) -> Finalist:
    return Finalist({"x": name}, searched, np.array(fresh))


def test_the_lowest_mean_on_fresh_seeds_is_the_answer():
    luck, best, close, bad = (
        finalist(1, 0.5, 0.7, 0.6, 0.6, searched=0.1),
        finalist(2, 0.40, 0.41, 0.40, 0.41, searched=0.2),
        finalist(3, 0.41, 0.40, 0.42, 0.41, searched=0.3),
        finalist(4, 0.1, np.inf, 0.1, 0.1, searched=0.4),
    )
    found = answer([luck, best, close, bad])
    assert found.setting == {"x": 2.0} and found.seeds == 4
    assert [one.setting["x"] for one in found.as_good] == [3] and [
        one.setting["x"] for one in found.worse
    ] == [1, 4]
    assert found.reaches.low < found.reaches.best < found.reaches.high


def test_where_one_setting_wins_on_every_seed_it_reaches_its_own_mean():
    losses = np.array([[0.1, 0.2, 0.3], [1.1, 1.2, 1.3]])
    np.testing.assert_allclose(reached(losses).best, 0.2)


@pytest.mark.parametrize(("fresh", "seeds"), [((), 0), ((0.5,), 1)])
def test_too_few_fresh_seeds_tell_nothing_apart(fresh, seeds):
    found = answer([finalist(1, *fresh, searched=0.1), finalist(2, *fresh, searched=0.2)])
    assert found.setting == {"x": 1.0} and found.seeds == seeds and found.reaches is None
    assert len(found.as_good) == 1 and found.worse == ()


def test_where_all_diverged_somewhere_nothing_is_as_good():
    found = answer([finalist(1, np.inf, np.inf), finalist(2, np.inf, 0.1)])
    assert (
        found.setting == {"x": 2.0}
        and found.reaches is None
        and found.as_good == ()
        and len(found.worse) == 1
    )
    assert answer([]) is None


def test_the_best_of_equals_is_not_told_to_be_better_than_they_are():
    """500 searches, 8 settings of equal mean 0: the mean of what is said lies within 4 errors (p < 1e-4) of 0,

    where the mean of the chosen on the seeds that chose it lies at -0.5; 90 to 97 % of the intervals hold 0.
    """
    draws = np.random.default_rng(0).normal(size=(500, 8, SEEDS))
    said = [reached(losses) for losses in draws]
    best = np.array([one.best for one in said])
    assert abs(best.mean()) < 4 * best.std() / len(best) ** 0.5
    assert draws.mean(axis=2).min(axis=1).mean() < -0.45
    assert 0.9 < np.mean([one.low <= 0 <= one.high for one in said]) < 0.97


def test_the_truly_best_stays_in_nine_of_ten_searches_and_the_bad_go():
    """500 searches, seeds with a common part: 4 settings of mean 0 and 4 of mean 3. The first is dropped in at most

    10 % (with 4 standard errors), the bad ones in more than 90 %.
    """
    rng = np.random.default_rng(1)
    means = np.repeat([0.0, 3.0], 4)[:, None]
    kept = np.zeros(8)
    for _ in range(500):
        kept[not_told_apart(means + rng.normal(size=(8, SEEDS)) + 5 * rng.normal(size=SEEDS))] += 1 / 500
    assert kept[0] > 0.9 - 4 * (0.09 / 500) ** 0.5 and kept[4:].max() < 0.1
