"""A search from Python: nothing is printed, nothing is stored."""

import numpy as np
import optax
import pytest

import hparam
import lr_batch
from hparam.tuning.loss import loss_of


def test_a_search_from_python_leaves_nothing_behind(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    y = (x @ np.float32([1.0, -2.0, 0.5])).astype(np.float32)
    workload = lr_batch.from_arrays(
        (lambda key: np.zeros(3, np.float32), lambda params, x: x @ params),
        train=(x[:30], y[:30]),
        held_out=(x[30:], y[30:]),
        loss=lambda outputs, y: (outputs - y) ** 2,
        goal=lr_batch.Goal("loss", 0.1),
        name="line",
    )
    space = hparam.Space({"learning_rate": hparam.log(1e-3, 1.0)})
    study = hparam.study_of(
        space,
        {},
        workload=workload,
        optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
        batch_sizes=(8,),
        budget=20,
    )
    plan = hparam.TuningPlan(study, space, search="quasi_random", trials=8, ask=4, width=4, confirm=2)
    tuning = hparam.tune(plan)
    best = tuning.finalists[0]
    assert 1e-3 <= best.setting["learning_rate"] <= 1.0 and best.mean < 0.5 * float((y**2).mean())
    assert tuning.trained_steps == (8 + 4 * 2) * 20
    assert capsys.readouterr() == ("", "") and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "goal, value",
    [(lr_batch.Goal("perplexity", 40.0), 38.0), (lr_batch.Goal("accuracy", 0.9, above=True), 0.95)],
)
def test_what_missed_the_goal_never_counts_less_than_what_reached_it(goal, value):
    """The last evaluation may lie beyond a goal that the average of the metric has not reached."""
    loss = lambda status, steps, last: loss_of(status, steps, last, goal, budget=100, to_goal=True)
    assert loss(lr_batch.BUDGET, np.nan, value) == 100 >= loss(lr_batch.REACHED, 99.5, value)
