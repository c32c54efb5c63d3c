"""Searches in the engine: every strategy, resuming, rungs, fresh seeds; then the command as people type it."""

import functools
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lr_batch"))

from tiny import sgd, tiny_workload  # noqa: E402

from hparam import FULL, SEARCHES, Space, from_settings, log, log1m  # noqa: E402
from runs.tuning import TuningPlan, tune  # noqa: E402
from runs.tuning.plan import study_of  # noqa: E402
from runs.tuning.trainer import Trainer  # noqa: E402
from runs.tuning.tune import search_rounds  # noqa: E402

SPACE = Space({"learning_rate": log(1e-3, 30.0)})
BUDGET = 27


class MemoryStore:
    """The two methods of a store."""

    def __init__(self):
        self.kept, self.seeds = {}, set()

    def load(self, chunk):
        return self.kept.get(chunk.id)

    def save(self, chunk, outcome):
        self.kept[chunk.id] = outcome
        self.seeds.add(chunk.seed)


def plan(**changes) -> TuningPlan:
    study = study_of(SPACE, {}, workload=tiny_workload(), optimizer=sgd, batch_sizes=(8,), budget=BUDGET)
    fields = dict(study=study, space=SPACE, search="random", trials=12, ask=8, width=4, confirm=2)
    return TuningPlan(**(fields | changes))


def outcome(tuning):
    """All that a search decided and saw."""
    told = [(t.proposal.id.tolist(), t.losses.tolist(), t.cost) for t in tuning.rounds]
    return told, [(f.setting, f.searched, f.fresh.tolist()) for f in tuning.finalists]


BUILT_IN = [name for name, strategy in SEARCHES.items() if not strategy.requires]


@functools.cache
def whole(name):
    """One uninterrupted search, and the store that it filled."""
    store = MemoryStore()
    return tune(plan(search=name), store), store


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_strategy_spends_its_cost_and_resumes_without_training(name):
    first, store = whole(name)
    steps = sum(
        int(np.where(t.proposal.steps == FULL, BUDGET, t.proposal.steps).sum() - t.proposal.start.sum())
        for t in first.rounds
    )
    assert steps == first.rounds[-1].cost <= 12 * BUDGET
    assert first.trained_steps > 0 and len(first.finalists) > 0
    again = tune(plan(search=name), store)
    assert again.trained_steps == 0 and outcome(again) == outcome(first)


@pytest.mark.parametrize("name", ["bayes", "asha", "population"])
def test_interrupted_search_ends_with_the_same_numbers(name):
    """Only the rows of the first two rounds are kept, and none of the lanes that go on from them."""
    store = MemoryStore()
    rounds = search_rounds(plan(search=name), Trainer(plan(search=name), store).train)
    next(rounds), next(rounds)
    kept = len(store.kept)
    resumed = tune(plan(search=name), store, workers=1)
    assert outcome(resumed) == outcome(whole(name)[0]) and len(store.kept) > kept


def test_promoted_trials_end_as_if_trained_in_one_go():
    """ASHA's lanes through three rungs against the same settings at full length."""
    ladder = tune(plan(search="asha", options={"eta": 3, "min_steps": 3}, trials=8, confirm=0))
    tops = [
        (setting, loss)
        for told in ladder.rounds
        for setting, steps, loss in zip(
            told.proposal.settings["learning_rate"].tolist(), told.proposal.steps, told.losses.tolist(), strict=True
        )
        if steps == BUDGET
    ]
    assert len(tops) >= 2
    straight = Trainer(plan()).train(from_settings(SPACE, {"learning_rate": np.array([setting for setting, _ in tops])}))
    np.testing.assert_array_equal(straight, [loss for _, loss in tops])


def test_search_that_may_cost_more_goes_on():
    store = MemoryStore()
    short = tune(plan(trials=6), store)
    longer = tune(plan(), store)
    assert outcome(longer)[0][0][1][:6] == outcome(short)[0][0][1]
    assert outcome(longer) == outcome(whole("random")[0])


def test_loss_is_the_last_value_or_the_steps_to_the_goal():
    near = plan(search="grid", options={"levels": 6}, trials=6, confirm=0)
    at_end = tune(near).rounds[0].losses
    study = study_of(SPACE, {}, workload=tiny_workload(), optimizer=sgd, batch_sizes=(8,), budget=BUDGET, goal="loss<0.6")
    steps = tune(plan(study=study, search="grid", options={"levels": 6}, trials=6, confirm=0, to_goal=True)).rounds[0].losses
    reached = steps <= BUDGET
    assert reached.any() and not reached.all()
    late = ~reached & np.isfinite(steps)
    np.testing.assert_allclose(steps[late], BUDGET * (1 + at_end[late] - 0.6), rtol=1e-6)


def test_diverged_trials_are_infinite_and_never_finalists():
    def fragile(hparams):
        scale = jnp.where(hparams["learning_rate"] > 1.0, jnp.nan, hparams["learning_rate"])
        return optax.sgd(scale)

    study = study_of(SPACE, {}, workload=tiny_workload(), optimizer=fragile, batch_sizes=(8,), budget=BUDGET)
    found = tune(plan(study=study, search="asha", trials=4))
    for told in found.rounds:
        np.testing.assert_array_equal(np.isinf(told.losses), told.proposal.settings["learning_rate"] > 1.0)
    assert found.finalists and all(finalist.setting["learning_rate"] <= 1.0 for finalist in found.finalists)


def test_fresh_seeds_are_none_of_the_searched_ones():
    assert whole("random")[1].seeds == {0, 1, 2}



@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "tune: trials must be >= 1, got 0"),
        ({"search": "bayse"}, "unknown search 'bayse'; did you mean 'bayes'"),
        ({"search": "asha", "options": {"etta": 4}}, "asha has no option 'etta'"),
        ({"search": "asha", "to_goal": True}, "compares trials before they end"),
    ],
)
def test_one_line_says_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        plan(**changes)
    assert "\n" not in str(error.value)


def test_space_that_the_optimizer_does_not_allow_is_refused():
    wide = Space({"learning_rate": log(1e-3, 1.0), "momentum": log1m(0.5, 0.9)})
    with pytest.raises(ValueError, match="momentum"):
        study_of(wide, {}, workload=tiny_workload(), optimizer="sgd", batch_sizes=(8,))
