"""The recipes that were made for the gallery: their numbers, their figures, and the captions from both."""

from __future__ import annotations

import numpy as np
import pytest

from lr_batch import SCHEDULES, Estimate
from runs.gallery.entry import kept
from runs.gallery.registry import ENTRIES
from runs.recipes import (
    bayes_model,
    coarse_to_fine_grid,
    dropout_effect,
    early_stopping,
    every_schedule,
    few_digits,
    gradient_noise,
    l2_and_weight_decay,
    optimizer_memory,
    same_gradient,
    training_and_test_error,
)
from runs.recipes.schedules import Training

PNG = b"\x89PNG"
BY_NAME = {entry.name: entry for entry in ENTRIES}


def caption(name: str, result) -> str:
    """What the gallery would say."""
    entry = BY_NAME[name]
    return entry.said({field: kept(number) for field, number in entry.numbers(result).items()})


@pytest.fixture
def out(tmp_path):
    """Where a recipe draws; the file must be an image afterwards."""
    path = tmp_path / "figure.png"
    yield str(path)
    assert path.read_bytes()[:4] == PNG


def drawn(figure) -> None:
    assert figure._repr_png_()[:4] == PNG


def curves(*middles: float, seeds: int = 3) -> np.ndarray:
    """[seeds, evals], a little different in each seed."""
    return np.array(middles) + 0.01 * np.arange(seeds)[:, None]


def test_variance_falls_as_one_over_the_batch_size(out):
    found = gradient_noise.main(out, quick=True)
    assert found.power.best == pytest.approx(-1, abs=0.1)
    middle = np.exp(np.log(found.variance).mean(axis=0))
    assert middle[2] / middle[3] == pytest.approx(4, rel=0.5)
    assert found.paths[1].shape == (gradient_noise.STEPS + 1, 2)
    ends = {size: path[-30:].std(axis=0).sum() for size, path in found.paths.items()}
    assert ends[1] > 2 * ends[16] > 4 * ends[256]
    assert f"to the power −{-found.power.best:.3g}" in caption("gradient_noise", found)


@pytest.mark.slow
def test_each_method_widens_the_spectrum(out):
    found = same_gradient.main(out, quick=True)
    rank = {name: update.rank.best for name, update in found.items()}
    assert rank["sgd"] < rank["adam"] < rank["muon"] <= 64
    assert "64 at most" in caption("same_gradient", found)


def test_rank_of_known_matrices():
    full, single = np.eye(4), np.outer([1.0, 2.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    assert same_gradient.described(np.stack([full, full])).rank == pytest.approx((4, 4, 4))
    assert same_gradient.described(np.stack([single, single])).rank == pytest.approx((1, 1, 1))


def test_memory_is_that_of_the_arrays(out):
    found = optimizer_memory.main(out, quick=True)
    assert found["sgd"].state == 0 and found["adam"].state == pytest.approx(8, abs=0.01)
    assert all(memory.state == memory.computed for memory in found.values())
    assert "SGD 0, momentum not measured, Adam 8" in caption("optimizer_memory", found)


def test_every_schedule_has_a_panel():
    ends = dict(zip(SCHEDULES, np.linspace(0.5, 0.1, len(SCHEDULES)), strict=True))
    steps = np.arange(6)
    found = {name: Training(steps, curves(2, 1, *[end] * 4), np.full(10, 0.4)) for name, end in ends.items()}
    assert {"decay_steps", "warmup"} >= set(every_schedule.parameters("linear")) > set()
    assert every_schedule.parameters("one_cycle")["warmup"] == ("30%",)
    drawn(figure := every_schedule.draw(found, "made up"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(SCHEDULES)
    assert "with warmup_stable_decay, the lowest of all" in caption("every_schedule", found)


def test_few_digits_are_few_and_partly_wrong():
    workload = few_digits.few_digits(2, slice(50))
    right = few_digits.lr_batch.as_workload("digits_mlp").train_data["y"][: few_digits.NUM_TRAIN]
    wrong = (workload.train_data["y"] != right).mean()
    assert len(workload.train_data["y"]) == 200 and len(workload.eval_data["y"]) == 50
    assert 0.1 < wrong < few_digits.WRONG + 0.05  # a tenth of the new labels are the old ones


def test_errors_are_those_of_real_trainings(out):
    found = training_and_test_error.measured(2, epochs=3, seeds=2)
    assert found.train.shape == found.test.shape == (2, len(found.epochs))
    assert found.epochs[0] == 0 and found.epochs[-1] == pytest.approx(3, abs=0.1)
    assert found.train[:, -1].mean() < found.train[:, 0].mean()
    both = {2: found, 4: found._replace(test=curves(*np.linspace(0.9, 0.2, len(found.epochs) - 1), 0.3))}
    assert both[4].least.best == pytest.approx(0.21)
    assert "At width 4" in caption("training_and_test_error", both)
    training_and_test_error.style.save(training_and_test_error.draw(both, "made up"), out)


def test_stopping_keeps_the_best_and_waits():
    falling = np.linspace(1.0, 0.1, 8)
    assert early_stopping.stopping(falling) == (7, 7)
    turns = np.array([1.0, 0.5, 0.4, *[0.6] * early_stopping.PATIENCE, 0.1])
    assert early_stopping.stopping(turns) == (2, 2 + early_stopping.PATIENCE)


def test_early_stopping_is_drawn():
    loss = curves(2.0, 0.5, 0.7, 0.9)
    places = np.full(3, 1)
    found = early_stopping.Stopped(
        np.arange(4.0),
        0.8 * loss,
        loss,
        loss,
        places,
        places + 2,
        Estimate(0.6, 0.5, 0.7),
        Estimate(-0.1, -0.2, 0.0),
    )
    drawn(early_stopping.draw(found, "made up"))
    assert "after 1 (1 to 1) of 3 epochs" in caption("early_stopping", found)


def test_a_penalty_is_decay_for_sgd():
    found = l2_and_weight_decay.twins("sgd", steps=10, seeds=2)
    assert found.distance.max() < 1e-4
    np.testing.assert_allclose(found.penalty, found.decay, rtol=1e-4)
    assert np.ptp(found.decay) > 0.1  # the strengths do something


@pytest.mark.slow
def test_a_penalty_is_decay_for_sgd_alone(out):
    found = l2_and_weight_decay.main(out, quick=True)
    assert found["sgd"].distance.max() < 1e-4 < 100 * 1e-4 < found["adam"].distance.max()
    assert "with SGD, which is rounding" in caption("l2_and_weight_decay", found)


def test_dropout_is_drawn_as_it_is_drawn_by_chance():
    whole, thinned = dropout_effect.kept_units(0.0), dropout_effect.kept_units(dropout_effect.DRAWN_SHARE)
    assert all(layer.all() for layer in whole)
    assert thinned[0].all() and thinned[-1].all()  # inputs and outputs stay
    assert all(0 < layer.sum() < layer.size for layer in thinned[1:-1])
    error = {share: curves(0.9, 0.3 - share / 10) for share in dropout_effect.SHARES}
    found = dropout_effect.Dropout(
        np.array([0.0, 1.0]), error, {0.3: Estimate(-0.03, -0.04, -0.02), 0.6: Estimate(-0.06, -0.07, -0.05)}
    )
    drawn(dropout_effect.draw(found, "made up"))
    assert "with 0.6 by −0.06 (−0.07 to −0.05)" in caption("dropout_effect", found)


def bowl(init_key, data_key, settings):
    """A loss that is least at a rate of 0.1, whatever the momentum."""
    return 0.1 + np.log10(np.asarray(settings["learning_rate"]) / 0.1) ** 2


def test_stages_close_in_on_the_best_cell(monkeypatch):
    monkeypatch.setattr(coarse_to_fine_grid, "trainer", lambda *_: bowl)
    found = coarse_to_fine_grid.measured(2, 1)
    assert np.unique(found.stage).tolist() == [0, 1, 2] and len(found.even["learning_rate"]) == 49
    spread = [np.ptp(np.log(found.settings["learning_rate"][found.stage == stage])) for stage in range(3)]
    assert spread[0] > spread[1] > spread[2] > 0
    assert found.ratio.best > 1
    assert all((np.diff(rows, axis=1) <= 1e-12).all() for rows in found.best_so_far.values())
    drawn(coarse_to_fine_grid.draw(found, 2, 1))
    assert "even grid of 49 trials" in caption("coarse_to_fine_grid", found)


def test_the_model_is_the_one_that_the_search_asks_by():
    models, truth, best = bayes_model.searched(bowl, repeat=0)
    dense = bayes_model.dense_rates()
    assert tuple(models) == bayes_model.SHOWN and len(truth) == len(dense)
    assert 0.1 <= best < 1.1 * truth.min()
    for trials, model in models.items():
        assert len(model.rates) == len(model.losses) == trials
        here = np.abs(np.log(dense / model.next_rate)).argmin()
        assert model.improvement[here] == pytest.approx(model.improvement.max(), rel=0.1)
    found = bayes_model.Search1D(models, dense, truth, Estimate(1.0, 0.9, 1.1), Estimate(0.8, 0.7, 0.9))
    drawn(bayes_model.draw(found, "made up"))
    assert "the lowest of 129 rates" in caption("bayes_model", found)


def test_a_rate_at_the_edge_bounds_the_shift_in_words():
    moved = {
        "standard": {"best": -1.512, "low": None, "high": -0.68},
        "muP": {"best": 0.1, "low": -0.2, "high": 0.4},
    }
    said = caption("mu_transfer", {"octaves_after_steps": {100: moved}, "steps": 100, "widths": [64, 1024]})
    assert said.startswith("From width 64 to 1,024 the best rate moves by −1.51 (−0.68 at most) octaves")
    assert said.endswith("by +0.10 (−0.20 to +0.40) under muP.")
