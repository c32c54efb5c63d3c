"""Searches in the engine: every strategy, resuming, rungs, fresh seeds; then the command as typed."""

import functools
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lr_batch"))

from tiny import sgd, tiny_workload

import lr_batch
from hparam import FULL, SEARCHES, Space, from_settings, log, log1m, parse_space
from hparam.gaussian_process import fit
from hparam.tuning import TuningPlan, tune
from hparam.tuning.confirm import Finalist, lineage, train_again
from hparam.tuning.importance import importance
from hparam.tuning.plan import study_of
from hparam.tuning.trainer import Trainer
from hparam.tuning.tune import search_rounds
from hparam.untried import sobol
from optim import OPTIMIZERS
from runs.__main__ import main
from runs.commands.search_options import parse_option
from runs.commands.tune import Tune
from runs.kept_json import read_kept
from runs.tune.outcome import advice, write_outcome

SPACE = Space({"learning_rate": log(1e-3, 30.0)})
BUDGET = 27
PROGRAMS = lr_batch.Programs()  # of the searches of one plan


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
    return tune(plan(search=name), store, programs=PROGRAMS), store


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_strategy_spends_its_cost_and_resumes_without_training(name):
    first, store = whole(name)
    steps = sum(
        int(np.where(t.proposal.steps == FULL, BUDGET, t.proposal.steps).sum() - t.proposal.start.sum())
        for t in first.rounds
    )
    assert steps == first.rounds[-1].cost <= 12 * BUDGET
    assert first.trained_steps > 0 and len(first.finalists) > 0
    again = tune(plan(search=name), store, programs=PROGRAMS)
    assert again.trained_steps == 0 and outcome(again) == outcome(first)


@pytest.mark.parametrize("name", ["bayes", "asha", "population"])
def test_interrupted_search_ends_with_the_same_numbers(name):
    """Only the rows of the first two rounds are kept, and none of the lanes that go on from them."""
    store = MemoryStore()
    trainer = Trainer(plan(search=name), store, programs=PROGRAMS)
    rounds = search_rounds(plan(search=name), trainer.train)
    next(rounds), next(rounds)
    kept = len(store.kept)
    resumed = tune(plan(search=name), store, workers=1, programs=PROGRAMS)
    assert outcome(resumed) == outcome(whole(name)[0]) and len(store.kept) > kept


def test_promoted_trials_end_as_if_trained_in_one_go():
    """ASHA's lanes through three rungs against the same settings at full length."""
    options = {"eta": 3, "min_steps": 3}
    ladder = tune(plan(search="asha", options=options, trials=8, confirm=0), programs=PROGRAMS)
    tops = [
        (setting, loss)
        for told in ladder.rounds
        for setting, steps, loss in zip(
            told.proposal.settings["learning_rate"].tolist(), told.proposal.steps, told.losses, strict=True
        )
        if steps == BUDGET
    ]
    assert len(tops) >= 2
    settings = {"learning_rate": np.array([setting for setting, _ in tops])}
    straight = Trainer(plan()).train(from_settings(SPACE, settings))
    np.testing.assert_array_equal(straight, [loss for _, loss in tops])


def test_search_that_may_cost_more_goes_on():
    store = MemoryStore()
    short = tune(plan(trials=6), store, programs=PROGRAMS)
    longer = tune(plan(), store, programs=PROGRAMS)
    assert outcome(longer)[0][0][1][:6] == outcome(short)[0][0][1]
    assert outcome(longer) == outcome(whole("random")[0])


def test_a_grid_trains_the_whole_space_or_says_what_it_would_leave_out():
    space = parse_space(["learning_rate=log(1e-3,1)", "momentum=linear(0,0.9)"])
    study = study_of(space, {}, workload=tiny_workload(), optimizer="momentum", batch_sizes=(8,), budget=2)
    planned = plan(study=study, space=space, search="grid", options={}, trials=5, confirm=0)
    settings = tune(planned).rounds[0].proposal.settings
    for name, ends in (("learning_rate", (1e-3, 1.0)), ("momentum", (0.0, 0.9))):
        np.testing.assert_allclose((settings[name].min(), settings[name].max()), ends)
    with pytest.raises(
        ValueError, match="levels=8 is a grid of 64 settings, of which 24 trials would leave 40 out"
    ):
        plan(study=study, space=space, search="grid", options={"levels": 8}, trials=24)


@pytest.mark.parametrize(("goal", "to_goal"), [("loss<1e-9", False), ("loss<0.6", True)])
def test_losses_are_those_of_a_sweep_over_the_same_settings(goal, to_goal):
    """Bit for bit: the last value, or the steps to the goal; beyond the budget where it was not reached."""
    fields = dict(workload=tiny_workload(), optimizer=sgd, batch_sizes=(8,), budget=BUDGET, goal=goal)
    options = dict(search="grid", options={"levels": 4}, trials=4, confirm=0, to_goal=to_goal)
    told = tune(plan(study=study_of(SPACE, {}, **fields), **options)).rounds[0]
    rates = told.proposal.settings["learning_rate"].tolist()
    result = lr_batch.run(
        lr_batch.Study(
            **fields,
            space={"learning_rate": rates},
            seeds=1,
            slack=float("inf"),
            extend=False,
            evaluation_share=1.0,
        )
    )
    last = np.array([curve.values[-1] for curve in result.curves], float)
    if not to_goal:
        np.testing.assert_array_equal(told.losses, last)
        return
    reached = result.status == "reached"
    assert 0 < reached.sum() < 4
    np.testing.assert_array_equal(told.losses[reached], result.steps_to_goal[reached])
    np.testing.assert_allclose(told.losses[~reached], BUDGET * (1 + last[~reached] - 0.6))
    assert told.losses[reached].max() <= BUDGET < told.losses[~reached].min()


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
        ({"trials": 0}, "tune: trials must be from 1 to 1,000,000, got 0"),
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


WORKLOAD = """
from tiny import sgd, tiny_workload
workload = tiny_workload()
"""


@pytest.fixture
def tune_command(tmp_path, monkeypatch, capsys):
    """`lr-batch tune` on the tiny workload: exit code, stdout, stderr."""
    (tmp_path / "mine.py").write_text(WORKLOAD)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        usual = "--optimizer mine.py:sgd --batch-size 8 --budget 27 --width 4 --ask 8 --trials 12 --confirm 2"
        pairs = zip(usual.split()[::2], usual.split()[1::2], strict=True)
        words = [word for option in pairs if option[0] not in arguments for word in option]
        try:
            code = main(["tune", "mine.py:workload", *words, *arguments])
        except SystemExit as leaving:
            code = leaving.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_command_writes_figures_and_summary_and_resumes(tune_command, tmp_path):
    space = "learning_rate=log(1e-3,30)"
    options = ("--search", "asha", "--space", space, "--option", "eta=3", "--out", "a b")
    code, out, err = tune_command(*options)
    assert code == 0 and "on fresh seeds" in out and "cost" in err
    figures = sorted(path.name for path in (tmp_path / "a b").glob("*.png"))
    assert figures == ["best_so_far.png", "hyperparameters.png", "model.png"]
    assert "Use learning_rate=" in out and "use this" in out
    code, out, _ = tune_command(*options, "--json")
    summary = json.loads(out)
    assert summary == read_kept(tmp_path / "a b" / "summary.json")
    assert code == 0 and summary["trained_now"] == {"steps": 0, "examples": 0}
    assert summary["search"] == "asha" and summary["steps"] <= 12 * 27
    found, finalists = summary["answer"], summary["finalists"]
    assert found["reaches"]["low"] < found["reaches"]["best"] < found["reaches"]["high"]
    chosen = [i for i, finalist in enumerate(finalists) if finalist["setting"] == found["setting"]]
    assert sorted(chosen + found["as_good"] + found["told_apart"]) == list(range(len(finalists)))
    assert finalists[chosen[0]]["fresh_mean"] == min(finalist["fresh_mean"] for finalist in finalists)
    assert found["fresh_seeds"] == 2


def test_a_schedule_is_searched_with_the_rate(tune_command):
    code, out, err = tune_command(
        "--schedule",
        "linear",
        "--space",
        "decay_steps=linear(20%,100%)",
        "--set",
        "end_factor=0.1",
        "--trials",
        "4",
        "--search",
        "random",
        "--ask",
        "4",
        "--confirm",
        "2",
        "--json",
    )
    assert code == 0, err
    summary = json.loads(out)
    assert summary["optimizer"] == "sgd, linear schedule" and summary["fixed"] == {"end_factor": 0.1}
    assert 0.2 <= summary["answer"]["setting"]["decay_steps"] <= 1.0


def test_folder_of_another_search_is_refused(tune_command):
    assert tune_command("--search", "random", "--out", "here")[0] == 0
    code, _, err = tune_command("--search", "quasi_random", "--out", "here")
    assert code == 2 and "holds another study (search: random -> quasi_random)" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--search", "bayse"), "unknown search 'bayse'; did you mean 'bayes'"),
        (("--space", "learning_rate=log(1,0.1)"), "lower bound must be below the upper one, got 1 and 0.1"),
        (("--space", "learning_rate=log(-1,0.1)"), "lower bound must be > 0, got -1"),
        (("--space", "learning_rate=lag(0.1,1)"), "did you mean 'log'"),
        (("--set", "learning_rate=0.1", "--space", "learning_rate=log(0.1,1)"), "is searched and fixed"),
        (("--set", "momentum=0.1,0.9"), "momentum takes one value here, got 2"),
        (("--option", "eta"), "--option: must look like eta=4, got 'eta'"),
        (("--option", "eta=3"), "bayes has no option 'eta' (known: initial, explore)"),
        (("--search", "asha", "--option", "min_steps=28"), "must be in [1, max_steps], got 28 and 27"),
        (("--search", "asha", "--goal", "loss<0.5"), "leave out --goal or take a search of full"),
        (("--goal", "loss"), "goal: must look like 'loss<0.2'"),
        (("--trials", "0"), "tune: trials must be from 1 to 1,000,000, got 0"),
        (("--schedule", "linear"), "linear: needs decay_steps in the space"),
        (("--schedule", "liner"), "unknown schedule 'liner'"),
        (("--schedule", "linear", "--set", "decay_steps=soon"), "decay_steps"),
        (("--batch-size", "0"), "batch_sizes must be a whole number >= 1, got 0"),
        (("--batch-size", "41"), "batch size 41 is larger than the training data (40 examples)"),
    ],
)
def test_wrong_options_are_one_line_and_exit_2(tune_command, options, message):
    code, out, err = tune_command(*options)
    assert code == 2 and out == ""
    assert message in err and err.count("\n") == 1


def test_typed_option_values():
    assert [parse_option(text) for text in ("eta=4", "explore=0.2", "full_chunks=true", "sampler=gp")] == [
        ("eta", 4),
        ("explore", 0.2),
        ("full_chunks", True),
        ("sampler", "gp"),
    ]


def test_space_of_the_optimizer_is_the_default():
    space, fixed, units = Tune(optimizer="lars")._space(OPTIMIZERS["lars"], 100)
    assert str(space) == "learning_rate=log(0.01,10)" and fixed == {"trust_coefficient": 0.02} and not units


def test_importance_of_known_functions():
    """f = x0: all of it, and none of x1. f = x0 x1, both centred: nothing alone, all of it together."""
    points = sobol(jax.random.key(0), 2, 0, 64)
    alone = importance(fit(points, points[:, 0], None, 0))
    np.testing.assert_allclose(alone.alone, [1, 0], atol=0.02)
    np.testing.assert_allclose(alone.total, [1, 0], atol=0.02)
    centred = points - 0.5
    together = importance(fit(points, centred[:, 0] * centred[:, 1], None, 0))
    np.testing.assert_allclose(together.alone, [0, 0], atol=0.05)
    np.testing.assert_allclose(together.total, [1, 1], atol=0.05)


def test_interval_of_a_finalist_is_the_t_interval_of_its_log():
    finalist = Finalist({}, 1.0, np.array([1.0, 2.0, 3.0]))
    factor = np.exp(2.9199856 / 3**0.5 / 2)
    assert finalist.mean == 2.0
    np.testing.assert_allclose(finalist.interval, [2, 2 / factor, 2 * factor])
    two = Finalist({}, 1.0, np.array([0.1, 0.2]))  # Student's of two seeds would begin at -0.17
    assert two.interval and 0 < two.interval.low < 0.1
    assert Finalist({}, 1.0, np.array([1.0, np.inf])).mean is None
    assert Finalist({}, 1.0, np.array([1.0])).interval is None


def test_population_is_trained_again_through_all_its_settings():
    """On the seeds of the search itself the winner's lineage gives the loss that the search saw."""
    found, _ = whole("population")
    chains = [lineage(found.state, tuple(finalist.setting.values())) for finalist in found.finalists]
    assert any(len({segment.setting for segment in chain}) > 1 for chain in chains)
    again = train_again(SPACE, chains, Trainer(found.plan).train)
    np.testing.assert_array_equal(again, [finalist.searched for finalist in found.finalists])


@pytest.mark.slow
def test_recipes_quick(tmp_path, capsys):
    from runs.recipes import asha_vs_random, bayes_vs_random

    assert set(asha_vs_random.main(str(tmp_path), quick=True)) == {"searched", "fresh", "equal cost"}
    tables = {path.name: path.read_bytes() for path in tmp_path.glob("*.csv")}
    assert set(bayes_vs_random.main(str(tmp_path), quick=True)) == {"searched", "fresh"}
    # Random search is part of both, and was not run again.
    assert all((tmp_path / name).read_bytes() == content for name, content in tables.items())
    for name in ("asha_vs_random", "bayes_vs_random"):
        assert (tmp_path / f"{name}-digits_mlp.png").read_bytes()[:4] == b"\x89PNG"
    assert "fresh, loss of asha over that of random search" in capsys.readouterr().out


def test_advice_names_what_did_best_on_fresh_seeds_and_how_sure_that_is():
    lucky = Finalist({"learning_rate": 0.1}, 0.2, np.array([0.5, 0.7]))
    steady = Finalist({"learning_rate": 0.5}, 0.3, np.array([0.4, 0.4]))
    broken = Finalist({"learning_rate": 1.0}, 0.4, np.array([0.1, np.inf]))

    def said(*finalists):
        found = whole("random")[0]._replace(finalists=finalists)
        return advice(found, found.answer)

    assert said(lucky, steady, broken).startswith(
        "Use learning_rate=0.5: held-out loss at step 27 of 0.4 on fresh"
    )
    assert "1 of the 2 other finalists cannot be told from it: 2 fresh seeds tell little" in said(
        lucky, steady, broken
    )
    assert "diverged on 1 of 2 fresh seeds" in said(broken)
    assert "optimistic" in said(lucky._replace(fresh=np.zeros(0)))
    assert "one fresh seed, which says nothing" in said(lucky._replace(fresh=np.array([0.5])))


def test_figures_of_two_hyperparameters_with_diverged_trials(tmp_path):
    def fragile(hparams):
        rate = jnp.where(hparams["learning_rate"] > 5.0, jnp.nan, hparams["learning_rate"])
        return optax.sgd(rate, momentum=hparams["momentum"])

    space = Space({"learning_rate": log(1e-3, 30.0), "momentum": log1m(0.1, 0.9)})
    study = study_of(space, {}, workload=tiny_workload(), optimizer=fragile, batch_sizes=(8,), budget=BUDGET)
    found = tune(plan(study=study, space=space, search="quasi_random", confirm=0))
    summary = write_outcome(found, tmp_path)
    assert 0 < summary["diverged"] < 12 and set(summary["importance"]) == {"learning_rate", "momentum"}
    for name in ("best_so_far", "hyperparameters", "importance", "model", "parallel_coordinates"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
