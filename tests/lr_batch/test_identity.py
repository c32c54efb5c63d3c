"""What decides a trial's numbers, as it is hashed."""

import jax
import numpy as np
from tiny import tiny_study

from lr_batch import Curve, EngineReport, Goal, Result, Trial
from lr_batch.engine import Chunk, Identity, terms_of

FIELDS = dict(
    workload="toy",
    data="0f",
    optimizer="sgd",
    program="0e",
    goal=("loss", 0.2),
    budget=100,
    slack="2.0",
    evaluation_growth=0.08,
    width=4,
    lanes="vmap",
    jax="0.10.0",
)


def test_a_field_that_holds_its_default_is_hashed_as_if_it_were_not_there():
    """The hash is that of the version in which an identity was a dictionary."""
    identity = Identity(**FIELDS)
    assert identity.described() == FIELDS | {"goal": ["loss", 0.2]}
    assert Chunk(identity, 8, 1, ({"learning_rate": 0.1},)).id == "a0912f91f137c07a"
    assert identity._replace(epochs=3.0, evals=40).described() == identity.described() | {
        "epochs": 3.0,
        "evals": 40,
    }


def test_what_has_no_default_is_described_even_where_there_is_none():
    described = Identity(**FIELDS)._replace(goal=("loss", None), evaluation_growth=None).described()
    assert described["evaluation_growth"] is None and described["goal"] == ["loss", None]


def test_identity_of_a_study():
    study = tiny_study()
    identity = Identity.of(study, 4, "vmap")
    assert identity.goal == ("loss", 0.5) and identity.jax == jax.__version__ and identity.optimizer == "sgd"
    assert identity != Identity.of(tiny_study(optimizer="adam"), 4, "vmap")


def test_terms_repeat_the_last_setting_beyond_the_settings():
    terms = terms_of([{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 4.0}], 4, batch_size=8, cadence=np.arange(3))
    np.testing.assert_array_equal(terms.hparams["a"], np.float32([1, 2, 2, 2]))
    np.testing.assert_array_equal(terms.hparams["b"], np.float32([3, 4, 4, 4]))
    assert (terms.num_evals, terms.threshold, terms.slack) == (3, -np.inf, np.inf)


def test_trials_are_ordered_by_size_seed_and_setting_in_the_order_of_the_names():
    def trial(size, seed, a, b):
        return Trial(size, seed, {"b": b, "a": a}, None, "budget", Curve(np.arange(0), np.arange(0.0)), 7)

    trials = [trial(8, 0, 2.0, 1.0), trial(8, 0, 1.0, 2.0), trial(4, 1, 1.0, 1.0), trial(4, 0, 9.0, 9.0)]
    report = EngineReport(0.0, 0.0, 0, 0, "none", 1, 0.0)
    result = Result.from_trials(
        trials,
        workload="w",
        optimizer="o",
        goal=Goal("loss", 0.2),
        budget=9,
        hparams=("a", "b"),
        engine=report,
    )
    assert result.batch_size.tolist() == [4, 4, 8, 8] and result.seed.tolist() == [0, 1, 0, 0]
    assert result.hparams["a"].tolist() == [9, 1, 1, 2] and list(result.hparams) == ["a", "b"]
    assert np.isnan(result.steps_to_goal).all() and list(result.trials)[2].hparams == {"a": 1.0, "b": 2.0}
    empty = Result.from_trials(
        [], workload="w", optimizer="o", goal=Goal("loss", 0.2), budget=9, hparams=("a", "b"), engine=report
    )
    assert empty.num_trials == 0 and empty.hparams["b"].shape == (0,)
