"""What a search shows: how far it is, figures with round ticks, and nothing that matters off the axis."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

from hparam import Space
from hparam.dimension import choice, integer, linear, log, log1m
from hparam.search import Segment
from hparam.tuning.confirm import Finalist
from runs.plots import style
from runs.tune.figures import loss_axis, unit_ticks
from runs.tune.hyperparameters import hyperparameters
from runs.tune.live import LiveBest


@pytest.mark.parametrize(
    ("dimension", "texts"),
    [
        (log(1e-3, 4), ["0.001", "0.01", "0.1", "1"]),
        (log(0.03, 0.04), ["0.03", "0.04"]),
        (log(0.1, 1), ["0.1", "0.2", "0.5", "1"]),
        (log(1e-12, 1e12), None),
        (log1m(0.9, 0.999), None),
        (log1m(0.0, 0.99), None),
        (linear(-5, 10), None),
        (linear(0, 1), None),
        (integer(1, 3), ["1", "2", "3"]),
        (choice("relu", "tanh"), ["relu", "tanh"]),
    ],
)
def test_ticks_are_round_values_at_their_places(dimension, texts):
    ticks = unit_ticks(dimension)
    assert 2 <= len(ticks) <= 6 and all(0 <= place <= 1 for place, _ in ticks)
    assert sorted(ticks) == ticks and len({text for _, text in ticks}) == len(ticks)
    assert all(len(text) <= 6 for _, text in ticks)
    if texts:
        assert [text for _, text in ticks] == texts


@pytest.mark.parametrize("lowest", [0.5, -1.0])
def test_the_winner_on_fresh_seeds_lies_on_the_axis(lowest):
    """Fresh seeds may do better or worse than anything that the search saw."""
    for also in ([0.05, 0.04, 0.06], [9.0, 8.0, 10.0]):
        axes = style.add_axes(style.new_figure())
        losses = np.array([lowest, 0.7, 0.8, 0.9, 40.0])
        high = loss_axis(axes, "loss", losses, also)
        assert axes.get_ylim()[0] <= min(*also, lowest) and max(also) <= axes.get_ylim()[1] == pytest.approx(
            high
        )
        assert axes.get_ylim()[1] < 40


def test_an_interval_without_end_leaves_the_axis_and_not_the_losses_flat():
    """Two fresh seeds that disagree, of eight settings that cannot be told apart."""
    axes, losses = style.add_axes(style.new_figure()), np.array([0.1, 0.12, 0.2, 0.4])
    high = loss_axis(axes, "loss", losses, [0.12, 1e-9, np.inf])
    assert 0.005 < axes.get_ylim()[0] < 0.012 and 1.2 < high < 2.0


@pytest.mark.parametrize(("steps", "longer"), [(0, False), (900, False), (100, True)])
def test_the_answer_has_a_height_only_among_trials_of_its_length(steps, longer, monkeypatch):
    """The search's own trials that end early have other losses than the answer, which is trained to the end."""
    space = Space({"learning_rate": log(1e-3, 1.0)})
    told = [Segment((rate,), steps=steps, loss=loss) for rate, loss in ((0.01, 0.9), (0.1, 0.5), (0.5, 0.7))]
    best = [Finalist({"learning_rate": rate}, 0.5, np.array([0.2, 0.22])) for rate in (0.1, 0.3)]
    study = SimpleNamespace(
        workload=SimpleNamespace(name="w"), optimizer_name="sgd", batch_sizes=(8,), max_steps=900
    )
    plan = SimpleNamespace(space=space, study=study, search="asha", loss_name_at="loss at {}".format)
    answer = SimpleNamespace(setting=best[0].setting, reaches=(0.21, 0.2, 0.22), as_good=best[1:])
    state = SimpleNamespace(told=told)
    monkeypatch.setattr("runs.tune.hyperparameters.comparable", lambda plan, told: (steps, told))
    axes = hyperparameters(SimpleNamespace(plan=plan, state=state, answer=answer, finalists=best)).axes[0]
    labels = axes.get_legend_handles_labels()[1]
    assert (
        ("the answer, trained for longer" in labels) == longer == ("the answer, on fresh seeds" not in labels)
    )
    places = [line.get_xdata()[0] for line in axes.lines]
    assert places == (pytest.approx([np.log10(300) / 3, 2 / 3]) if longer else [])
    assert (axes.get_ylim()[0] < 0.2) != longer


def test_time_left_is_that_of_what_is_trained_now(monkeypatch):
    """Two rounds are stored, each of the others takes 10 s for a twelfth of the search."""
    clock = iter([0.0, 0.01, 10.01, 20.01])
    monkeypatch.setattr("runs.tune.live.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("runs.tune.live.ranked", lambda plan, state: [])
    plan = SimpleNamespace(trials=12, study=SimpleNamespace(max_steps=100))
    said, told = io.StringIO(), []
    live = LiveBest(plan, said, tell=lambda lines, share, numbers: told.append((share, numbers["left"])))
    for spent in (100, 200, 300, 400):
        live(SimpleNamespace(told=[]), spent)
    assert told == [(1 / 12, None), (2 / 12, None), (3 / 12, pytest.approx(90)), (4 / 12, pytest.approx(80))]
    assert [line.count("left") for line in said.getvalue().splitlines()] == [0, 0, 1, 1]
    assert "about 1 min 20 s left of the search; all diverged" in said.getvalue()
