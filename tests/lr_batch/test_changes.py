"""Hyperparameters that change within a trial, and what is read off the members of populations."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import tiny_study, tiny_workload

import lr_batch
from lr_batch import Changes, Curve, EngineReport, Length, Result, Searched, Trial

BUDGET, BATCH = 40, 4
SPACE = {
    "learning_rate": (0.5,),
    "learning_rate.1": (0.1, 2.0),
    "learning_rate.2": (0.3,),
    "change.1": (0.28,),
    "change.2": (0.5,),
}


def drift(params, batch, key):
    """A loss whose gradient is -1: parameters are the sum of the rates so far."""
    return -params["w"].sum() * jnp.ones(len(batch["x"]))


def test_a_trial_takes_the_rate_of_each_piece_from_the_evaluation_at_which_it_begins(monkeypatch):
    monkeypatch.setattr("lr_batch.sweep.check", lambda study: None)  # a loss that examples do not change
    workload = tiny_workload()._replace(
        init=lambda key: {"w": jnp.zeros(())},
        loss=drift,
        evaluate=lambda params, batch: {"way": params["w"] * jnp.ones(len(batch["x"]))},
        goal=lr_batch.Goal("way", 1e6, above=True),
    )
    fields = dict(workload=workload, space=SPACE, batch_sizes=(BATCH,), budget=BUDGET, seeds=1, slack=np.inf)
    programs = lr_batch.Programs()
    study = tiny_study(**fields, evaluation_growth=0.3)
    for trial in lr_batch.run(study, programs=programs).trials:
        steps = trial.curve.steps
        starts = [int(steps[np.searchsorted(steps, share * BUDGET)]) for share in (0.28, 0.5)]
        assert starts == [13, 22]  # not 11 and 20: they wait for an evaluation
        piece = np.searchsorted(starts, np.arange(BUDGET), side="right")
        rates = np.array(
            [trial.hparams[name] for name in ("learning_rate", "learning_rate.1", "learning_rate.2")]
        )
        way = np.cumsum([0.0, *rates[piece]])
        np.testing.assert_allclose(trial.curve.values, way[steps], rtol=1e-5)
    moved = SPACE | {"learning_rate": (0.7,), "change.1": (0.1,), "change.2": (0.9,)}
    other = dataclasses.replace(study, space=moved)
    lr_batch.run(other, programs=programs)
    assert len(programs.compile_seconds) == 2  # start and advance, whatever changes when


def test_lengths_of_a_schedule_are_in_steps_in_every_piece():
    study = tiny_study(
        schedule="linear",
        budget=Length(800, "examples"),
        space={"learning_rate": (0.1,), "decay_steps": ("50%",), "warmup": (2,), "change.1": (0.25,)}
        | {"decay_steps.1": (1.0,), "learning_rate.1": (0.2,)},
    )
    (setting,) = study.as_trained(study.settings, 4)
    lengths = {"decay_steps": 100.0, "decay_steps.1": 200.0, "warmup": 2.0, "change.1": 50.0}
    assert setting == {"learning_rate": 0.1, "learning_rate.1": 0.2, **lengths}
    at = study.lane_optimizer.at
    assert float(at(setting, 49)["learning_rate"]) < 0.1 < float(at(setting, 50)["learning_rate"])


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"change.2": (0.2,)}, "changes must be at ascending parts"),
        ({"change.1": (1.5,)}, r"change must be in \(0, 1\)"),
        ({"learning_rate.1": (-1.0,)}, "learning_rate must be"),
        ({"learning_rate.7": (0.1,)}, "unknown hyperparameter"),
    ],
)
def test_changes_that_are_none_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        tiny_study(optimizer="sgd", space=SPACE | changed)


def test_an_optimizer_that_keeps_its_first_value_is_refused():
    kept = lambda hparams: optax.inject_hyperparams(optax.sgd)(hparams["learning_rate"])
    with pytest.raises(
        lr_batch.StudyError, match="keeps its first learning rate .* so that a change does not"
    ):
        lr_batch.check(tiny_study(optimizer=kept, space=SPACE))


CHANGES = Changes(("learning_rate",), 2)
SHARES = (0.25, 0.5)


def made(members):
    """A result of one batch size; `members`: three rates and the steps of each of four seeds, NaN for censored."""
    names = CHANGES.setting([{"learning_rate": 0.0}] * 3, SHARES)
    curve = Curve(np.array([0, 1, 26, 51, 100]), np.ones(5))
    trials = [
        Trial(
            8,
            seed,
            CHANGES.setting([{"learning_rate": rate} for rate in rates], SHARES),
            *ended(step),
            curve,
            100,
        )
        for rates, steps in members
        for seed, step in enumerate(steps)
    ]
    searched = Searched("population", {"learning_rate": lr_batch.Axis("log", (0.1, 10.0))}, 2, {}, SHARES)
    engine = EngineReport(1.0, 0.0, 0, 0, "cpu", 1, 1.0)
    about = dict(workload="made", optimizer="sgd", goal=lr_batch.Goal("loss", 0.5), budget=100, hparams=names)
    return Result.from_trials(trials, **about, searched=searched, engine=engine)


def ended(steps):
    return (None, "budget") if np.isnan(steps) else (steps, "reached")


def test_the_answer_is_the_fastest_member_of_each_seed_and_the_pieces_of_one():
    result = made(
        [
            ((1.0, 1.0, 1.0), [70.0, 80.0, 64.0, np.nan]),
            ((1.0, 2.0, 2.0), [60.0, 60.0, 66.0, 60.0]),
            ((1.0, 2.0, 4.0), [np.nan] * 4),
        ]
    )
    (row,) = lr_batch.best_settings(result)
    fewest = np.log([60.0, 60.0, 64.0, 60.0])
    assert row.steps == pytest.approx(np.exp(fewest.mean()))
    half = 2.353 * fewest.std(ddof=1) / 2  # Student's, three degrees of freedom
    assert (row.low, row.high) == pytest.approx(
        (np.exp(fewest.mean() - half), np.exp(fewest.mean() + half)), rel=1e-3
    )
    assert row.learning_rate is None and row.others == {}
    assert lr_batch.pieces(result, row) == ((0, {"learning_rate": 1.0}), (26, {"learning_rate": 2.0}))
    at_once = row._replace(
        lineage=CHANGES.setting([{"learning_rate": rate} for rate in (1.0, 2.0, 4.0)], (0.25, 0.26))
    )
    assert lr_batch.pieces(result, at_once) == ((0, {"learning_rate": 1.0}), (26, {"learning_rate": 4.0}))
    (best,) = lr_batch.best_of_trials(result)
    assert best.steps == row.estimate and best.feasible == 3  # one interval for one number
    assert 1.0 < best.optimism.low < best.optimism.best < best.optimism.high < 1.25
    assert not result.has_rate and result.plain_names == ("learning_rate",)
    with pytest.raises(ValueError, match="none has one rate"):
        lr_batch.learning_rate_law(result)


def test_a_batch_size_that_few_seeds_reach_is_censored():
    (row,) = lr_batch.best_settings(made([((1.0, 1.0, 1.0), [50.0, np.nan, np.nan, np.nan])]))
    assert row.steps is None and row.low == pytest.approx(100.0) and row.n_reached == 1
