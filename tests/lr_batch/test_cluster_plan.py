"""Batch sizes on a cluster, beside every batch size tried one by one."""

from __future__ import annotations

import numpy as np
import pytest

from lr_batch import Cluster, best_settings, cluster_plan, critical_batch_size, learning_rate_law
from runs.recipes.made_up_study import hyperbola, made_up_study

SIZES = tuple(2**i for i in range(9))
CLUSTER = Cluster(examples_per_second=100.0, overhead=0.05)


@pytest.fixture(scope="module")
def study():
    steps = hyperbola(np.array(SIZES))
    result = made_up_study(0.4 * steps.min() / steps, 3, batch_sizes=SIZES)
    return result, best_settings(result)


@pytest.fixture(scope="module")
def critical(study):
    return critical_batch_size(study[0], optima=study[1], sharpness=1.0)


@pytest.fixture(scope="module")
def plan(study, critical):
    law = learning_rate_law(study[0], optima=study[1], resamples=200)
    return cluster_plan(critical, law, [1, 3, 8, 64, 256, 1024, 9999], CLUSTER)


def seconds_one_by_one(critical, devices):
    sizes = np.arange(max(devices, SIZES[0]), SIZES[-1] + 1)
    return sizes, critical.curve(sizes).steps * (np.ceil(sizes / devices) / 100.0 + 0.05)


def test_no_batch_size_is_better_than_the_planned_one(critical, plan):
    for row in plan.rows[:5]:
        sizes, seconds = seconds_one_by_one(critical, row.devices)
        assert seconds.min() <= row.seconds.best * (1 + 1e-9) <= 1.01 * seconds.min()
        assert row.seconds.best == pytest.approx(seconds[sizes == row.batch_size.best][0])
        assert row.steps.best == pytest.approx(critical.curve([row.batch_size.best]).steps[0])
        assert row.seconds.low < row.seconds.best < row.seconds.high
        assert row.device_seconds.best == pytest.approx(row.devices * row.seconds.best)


def test_the_best_batch_grows_as_the_closed_form(critical, plan):
    """T = s_min (1 + B_crit / B) (B / (n R) + o) is least at B = sqrt(B_crit o n R)."""
    for row in plan.rows[:2]:
        closed = np.sqrt(critical.value * 0.05 * row.devices * 100.0)
        assert row.batch_size.best == pytest.approx(closed, rel=0.15)


def test_the_knee_has_the_least_devices_times_time_squared(plan):
    measured = [row for row in plan.rows if row.measured]
    products = [row.devices * row.seconds.best**2 for row in measured]
    assert plan.knee.best == measured[int(np.argmin(products))].devices and plan.knee_edge is None
    assert [row.on_front for row in plan.rows[:4]] == [True] * 4


def test_what_lies_outside_the_measured_batches_is_marked(plan):
    inside, outside = plan.rows[4], plan.rows[5]
    assert inside.measured and inside.learning_rate is not None
    assert not outside.measured and outside.learning_rate is None and not outside.on_front
    assert outside.batch_size.best == 1024 and plan.unanswered == (9999,)
    assert 0.7 < outside.steps.best / plan.rows[4].steps.best < 1.05


def test_an_edge_is_told(critical):
    slow = cluster_plan(critical, None, [1], Cluster(100.0, 1e-6)).rows[0]
    fast = cluster_plan(critical, None, [4], Cluster(1e9, 1.0)).rows[0]
    assert (slow.batch_size.best, fast.batch_size.best, fast.edge) == (1, 256, "high")
    assert slow.edge is None  # one device cannot take less than one example
    assert fast.learning_rate is not None and 0.2 < fast.learning_rate.best < 0.8


def test_without_a_form_steps_are_those_measured(study, critical):
    bent = critical._replace(test=critical.test._replace(fits=False))
    plan = cluster_plan(bent, None, [256], CLUSTER)
    assert not plan.by_form
    assert plan.rows[0].steps.best == pytest.approx(study[1][-1].steps)


@pytest.mark.parametrize(
    ("change", "devices", "cluster", "said"),
    [
        ({"value": 300.0}, [1], CLUSTER, "no plateau: .* above 256, .* measure larger batch sizes"),
        ({}, [0], CLUSTER, "devices must be >= 1"),
        ({}, [], CLUSTER, "devices must be >= 1"),
        ({}, [1], Cluster(0.0), "more than 0 examples per second"),
        ({}, [1], Cluster(1.0, -1.0), "overhead of 0 or more"),
    ],
)
def test_what_cannot_be_planned_is_one_line(critical, change, devices, cluster, said):
    with pytest.raises(ValueError, match=said):
        cluster_plan(critical._replace(**change), None, devices, cluster)
