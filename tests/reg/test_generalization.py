"""Training for set epochs: what is recorded, early stopping, resuming, and the reading of strengths."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reg_rows import tiny, train

from lr_batch import Study, best_strengths, estimate, generalize, strength_rows
from lr_batch.generalization import EVALS
from optim import OPTIMIZERS
from reg.early_stopping import NEVER

WORKLOAD = tiny()
EPOCHS = 18.0  # 81 steps of 8
SPACED = np.linspace(0, 35, 12).astype(int)  # as many training examples as are held out


def study(regularizer=None, strengths=MappingProxyType({}), **fields):
    space = {"learning_rate": (0.05, 0.4), **strengths}
    return Study(workload=WORKLOAD, regularizer=regularizer, batch_sizes=(8,), seeds=2, space=space, **fields)


class Memory(dict):
    """A store in memory."""

    def load(self, chunk):
        return self.get(chunk.id)

    def save(self, chunk, arrays):
        self[chunk.id] = arrays


@pytest.fixture(scope="module")
def pruned():
    store = Memory()
    return generalize(
        study("pruning", {"sparsity": (0.0, 0.5), "prune_steps": (20.0,)}), EPOCHS, store
    ), store


def test_records_what_the_lane_reaches(pruned):
    fits, _ = pruned
    assert fits.steps.shape == (8, EVALS + 1) and fits.steps[0, -1] == 81
    assert fits.held_out["loss"].shape == fits.train["error"].shape == (8, EVALS + 1)
    last = fits.outcome(fits.sparsity)
    np.testing.assert_allclose(last[fits.hparams["sparsity"] == 0.5], 0.5, atol=1e-6)
    assert (last[fits.hparams["sparsity"] == 0.0] == 0).all()
    params = jax.jit(lambda: train(WORKLOAD, OPTIMIZERS["sgd"], {"learning_rate": 0.4}, num_steps=81))()
    mine = (fits.hparams["sparsity"] == 0) & (fits.hparams["learning_rate"] == 0.4) & (fits.seed == 1)
    for part, data in (
        (fits.held_out, WORKLOAD.eval_data),
        (fits.train, jax.tree.map(lambda a: a[SPACED], WORKLOAD.train_data)),
    ):
        measured = WORKLOAD.evaluate(params, data)
        means = {name: np.mean(measured[name]) for name in ("loss", "error")}
        for name, value in (means | {"perplexity": np.exp(means["loss"])}).items():
            np.testing.assert_allclose(fits.outcome(part[name])[mine], value, rtol=1e-5, atol=2e-5)
    weights = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    norm = np.sqrt(sum(float(jnp.vdot(leaf, leaf)) for leaf in weights))
    np.testing.assert_allclose(fits.outcome(fits.weight_norm)[mine], norm, rtol=1e-4)


def test_confidence_counts_every_held_out_example(pruned):
    fits, _ = pruned
    np.testing.assert_array_equal(fits.confidence.sum(axis=1), 12)
    np.testing.assert_allclose(
        1 - fits.correct.sum(axis=1) / 12, fits.outcome(fits.held_out["error"]), atol=1e-6
    )


def test_a_finished_study_trains_nothing(pruned):
    fits, store = pruned
    refused = Memory(store)
    refused.save = lambda chunk, arrays: pytest.fail("trained again")
    again = generalize(fits.study, EPOCHS, refused)
    np.testing.assert_array_equal(again.held_out["loss"], fits.held_out["loss"])
    longer = generalize(fits.study, 2.0, Memory(store))
    assert longer.steps[0, -1] == 9


def test_early_stopping_restores_the_best_and_stops():
    fits = generalize(study("early_stopping", {"patience": (2.0, 1e9)}), EPOCHS)
    held_out = fits.held_out["loss"]
    for i in range(len(fits.seed)):
        kept = fits.kept_eval[i]
        assert held_out[i, kept] == (
            held_out[i].min() if fits.hparams["patience"][i] == 2.0 else held_out[i, -1]
        )
        if not fits.stopped[i]:
            continue
        stop = kept + 2
        assert (held_out[i, kept + 1 : stop + 1] >= held_out[i, kept]).all()
        assert (held_out[i, stop:] == held_out[i, stop]).all()  # frozen
    assert fits.alive.all() and not fits.stopped[fits.hparams["patience"] == 1e9].any()
    assert fits.stopped[fits.hparams["patience"] == 2.0].any()


def test_early_stopping_that_is_off_is_the_plain_run():
    off, plain = generalize(study("early_stopping", {"patience": (NEVER,)}), 4.0), generalize(study(), 4.0)
    np.testing.assert_array_equal(off.kept_eval, plain.kept_eval)
    for ours, theirs in ((off.train, plain.train), (off.held_out, plain.held_out)):
        for name, values in theirs.items():
            np.testing.assert_array_equal(ours[name], values)
    np.testing.assert_array_equal(off.weight_norm, plain.weight_norm)


def test_a_lane_that_diverges_is_infinite_and_the_others_go_on():
    space = {"learning_rate": (0.1, 1e30), "l2": (0.0, 0.1)}
    diverging = Study(workload=WORKLOAD, regularizer="l2", batch_sizes=(8,), seeds=2, space=space)
    fits = generalize(diverging, 2.0)
    bad = fits.hparams["learning_rate"] > 1
    assert np.isinf(fits.outcome(fits.held_out["loss"])[bad]).all() and not fits.alive[bad].any()
    assert np.isfinite(fits.outcome(fits.held_out["loss"])[~bad]).all() and fits.alive[~bad].all()
    assert all(row.others == {"learning_rate": 0.1} for row in strength_rows(fits))


def synthetic(values):
    """Fits whose held-out loss is `values[strength, rate, seed]` and training loss half of it."""
    strengths, rates, seeds = values.shape
    s, r, k = (
        axis.ravel() for axis in np.meshgrid(range(strengths), range(rates), range(seeds), indexing="ij")
    )
    fake = study("l2", {"l2": tuple(0.1 * i for i in range(strengths))})
    object.__setattr__(fake, "seeds", seeds)
    object.__setattr__(
        fake,
        "space",
        {
            "learning_rate": tuple(0.1 * (i + 1) for i in range(rates)),
            "l2": tuple(0.1 * i for i in range(strengths)),
        },
    )
    curve = values.ravel()[:, None].astype(float)
    ones = np.ones(len(s), bool)
    from lr_batch import Generalization

    empty = np.zeros((len(s), 0))
    return Generalization(
        study=fake,
        epochs=1.0,
        batch_size=np.full(len(s), 8),
        seed=k,
        hparams={"learning_rate": 0.1 * (r + 1), "l2": 0.1 * s},
        steps=np.ones_like(curve, int),
        train={"loss": curve / 2},
        held_out={"loss": curve},
        weight_norm=curve,
        sparsity=curve,
        kept_eval=np.zeros(len(s), int),
        stopped=~ones,
        alive=ones,
        confidence=empty,
        correct=empty,
        seconds=0.0,
    )


def test_choices_are_made_on_the_other_seeds():
    """At strength 0 each seed would flatter another rate; at 0.1 the second rate is best for all."""
    values = np.array([[[1.0, 5.0, 3.0], [4.0, 1.0, 3.0]], [[3.0, 3.1, 3.2], [0.5, 0.6, 0.4]]])
    fits = synthetic(values)
    off, on = strength_rows(fits)
    # Seed 0: on seeds 1 and 2 the second rate is better (2 < 4), which gives 4. Seeds 1, 2: the first (2 <
    # 3.5) and the second (2.5 < 3).
    assert off.held_out.best == pytest.approx(np.mean([4.0, 5.0, 3.0]))
    assert on.held_out.best == pytest.approx(0.5) and on.others["learning_rate"] == pytest.approx(0.2)
    assert on.gap.best == pytest.approx(0.25)
    (best,) = best_strengths(fits)
    assert best.best == pytest.approx(0.1)
    assert best.gain.best == pytest.approx(np.mean([4.0, 5.0, 3.0]) - 0.5)


def test_interval_covers_at_its_level():
    """4,000 samples of 4 normal seeds: 95 % +- 1.7 % (5 standard errors; a false alarm in 1.7 million)."""
    samples = np.random.default_rng(0).normal(size=(4000, 4))
    covered = np.mean([(e := estimate(sample, 0.95)).low < 0 < e.high for sample in samples])
    assert abs(covered - 0.95) < 0.0173


def test_replace_keeps_the_regularizer():
    fewer = dataclasses.replace(study("l2", {"l2": (0.0,)}), seeds=3)
    assert fewer.regularizer.name == "l2" and fewer.seeds == 3
