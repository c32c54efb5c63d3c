"""Studies in rank by what they need."""

from __future__ import annotations

import numpy as np
import pytest

from lr_batch import best_settings, ranking
from runs.recipes.made_up_study import hyperbola, made_up_study

SIZES = (1, 4, 16, 64)


def optima(factor, key=0, budget=100_000):
    steps = hyperbola(np.array(SIZES))
    found = best_settings(made_up_study(0.4 * steps.min() / steps, key, batch_sizes=SIZES, budget=budget))
    times = lambda part: part._replace(
        best=part.best + np.log(factor), without=tuple(x + np.log(factor) for x in part.without)
    )
    return [
        o._replace(steps=factor * o.steps, examples=factor * o.examples, log_steps=times(o.log_steps))
        for o in found
    ]


@pytest.fixture(scope="module")
def studies():
    made = {"slow": optima(2.0), "fast": optima(1.0)}
    never = [o._replace(steps=None, low=None, high=None, learning_rate=None) for o in made["slow"]]
    return made | {"never": never}


def costs(studies, of):
    return {name: {size: of(size) for size in SIZES} for name in studies}


def test_by_steps_the_largest_batch_counts_and_by_examples_the_smallest(studies):
    by_steps = ranking(studies, costs(studies, lambda size: 1.0))
    by_examples = ranking(studies, costs(studies, float))
    fewest = min(o.steps for o in studies["fast"])
    assert by_steps[0].cost.best == pytest.approx(fewest)
    assert by_steps[0].batch_size == 64 and by_examples[0].batch_size < 64
    assert by_examples[0].cost.best == pytest.approx(min(o.examples for o in studies["fast"]))


def test_what_never_reaches_the_goal_is_infinite_and_last(studies):
    last = ranking(studies, costs(studies, lambda size: 1.0))[-1]
    assert (last.name, last.batch_size, last.ratio) == ("never", None, None) and np.isinf(last.cost.best)
    alone = ranking({"never": studies["never"]}, costs(studies, lambda size: 1.0))
    assert len(alone) == 1 and np.isinf(alone[0].cost.best)


def test_paired_seeds_tell_a_difference_that_single_intervals_hide(studies):
    """The same trials at 1.16 times the cost: each seed moves both, only the grid of rates leaves the ratio open."""
    twice = dict(one=studies["fast"], other=studies["fast"])
    dearer = {"one": dict.fromkeys(SIZES, 1.0), "other": dict.fromkeys(SIZES, 1.16)}
    first, second = ranking(twice, dearer)
    assert first.cost.high > second.cost.low
    assert second.ratio.best == pytest.approx(1.16) and second.ratio.low > 1.0
    equal = ranking(twice, {name: dict.fromkeys(SIZES, 1.0) for name in twice})
    assert not equal[1].clear
