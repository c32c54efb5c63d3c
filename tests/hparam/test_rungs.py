"""Which trials go on: successive halving, Hyperband, ASHA, population-based training, worked out by hand."""

from __future__ import annotations

from collections import Counter

import jax
import numpy as np
import pytest
from search_rows import FINITE, LINE, fresh, play

from hparam import asha, hyperband, population, successive_halving

KEY = jax.random.key(0)


def rank_loss(proposal):
    """The larger the rate the better."""
    return -proposal.settings["lr"]


def ask_and_tell(search, state, n, loss=rank_loss):
    proposal, state = search.ask(KEY, state, n)
    return proposal, search.tell(state, proposal, loss(proposal))


def test_successive_halving_keeps_the_best_third():
    search = successive_halving(LINE, min_steps=10, max_steps=90, eta=3, num=9)
    first, state = ask_and_tell(search, search.init(), 9)
    assert first.steps.tolist() == [10] * 9 and fresh(first).all()
    second, state = ask_and_tell(search, state, 3)
    assert second.start.tolist() == [10] * 3 and second.steps.tolist() == [30] * 3
    best_three = np.argsort(-first.settings["lr"])[:3]
    assert second.continues.tolist() == first.id[best_three].tolist()
    third, state = ask_and_tell(search, state, 1)
    assert (third.start[0], third.steps[0], third.continues[0]) == (30, 90, second.id[0])
    again, _ = search.ask(KEY, state, 9)
    assert fresh(again).all() and again.label.tolist() == [1] * 9


def test_survivors_and_new_trials_share_a_proposal():
    """Three survivors leave six of nine lanes, which start the next bracket."""
    search = successive_halving(LINE, min_steps=10, max_steps=90, eta=3, num=9)
    _, state = ask_and_tell(search, search.init(), 9)
    proposal, _ = search.ask(KEY, state, 9)
    assert fresh(proposal).tolist() == [False] * 3 + [True] * 6
    assert [lanes.tolist() for lanes in proposal.chunks()] == [[0, 1, 2], [3, 4, 5, 6, 7, 8]]


def test_a_rung_waits_for_all_of_its_trials_but_the_lanes_do_not():
    search = successive_halving(LINE, min_steps=10, max_steps=90, eta=3, num=9)
    first, state = search.ask(KEY, search.init(), 9)
    state = search.tell(state, first.take(slice(0, 8)), rank_loss(first)[:8])
    proposal, _ = search.ask(KEY, state, 4)
    assert fresh(proposal).all() and proposal.label.tolist() == [1] * 4


def test_diverged_trials_never_go_on():
    search = successive_halving(LINE, min_steps=10, max_steps=90, eta=3, num=9)
    first, state = search.ask(KEY, search.init(), 9)
    losses = np.full(9, np.nan)
    losses[4] = 1.0
    state = search.tell(state, first, losses)
    proposal, _ = search.ask(KEY, state, 2)
    assert proposal.continues.tolist() == [first.id[4], -1]


def test_hyperband_brackets_are_those_of_the_paper():
    """R = 81, eta = 3 (Li et al., 2018, Table 1): 81, 34, 15, 8, 5 trials start, at 1, 3, 9, 27, 81."""
    search = hyperband(LINE, min_steps=1, max_steps=81, eta=3)
    proposal, _ = search.ask(KEY, search.init(), 81 + 34 + 15 + 8 + 5)
    assert Counter(proposal.label.tolist()) == {0: 81, 1: 34, 2: 15, 3: 8, 4: 5}
    assert [int(proposal.steps[proposal.label == i][0]) for i in range(5)] == [1, 3, 9, 27, 81]


def test_hyperband_rungs_are_those_of_the_paper():
    """Second bracket of the same table: 34, 11, 3, 1 trials at 3, 9, 27, 81."""
    search = hyperband(LINE, min_steps=1, max_steps=81, eta=3)
    state = search.init()
    for _ in range(5):
        _, state = ask_and_tell(search, state, 143)
    rungs = Counter(segment.steps for segment in state.segments.values() if segment.label == 1)
    assert rungs == {3: 34, 9: 11, 27: 3, 81: 1}


def test_asha_promotes_without_waiting():
    """Of three told out of nine running, the best one goes on at once; then nothing until six are told."""
    search = asha(LINE, min_steps=10, max_steps=90, eta=3)
    first, state = search.ask(KEY, search.init(), 9)
    state = search.tell(state, first.take(slice(0, 3)), rank_loss(first)[:3])
    second, state = search.ask(KEY, state, 2)
    best = int(np.argmin(rank_loss(first)[:3]))
    assert second.continues.tolist() == [first.id[best], -1] and second.steps.tolist() == [30, 10]
    third, _ = search.ask(KEY, state, 2)
    assert fresh(third).all()


def test_asha_in_full_chunks_is_always_in_lock_step():
    search = asha(LINE, min_steps=10, max_steps=90, eta=3, full_chunks=True)
    state, proposals = play(search, 16, 4)
    assert all(len(list(proposal.chunks())) == 1 for proposal in proposals)
    # 3 chunks of 4 make one chunk of the next rung, 3 of those one of the last: 12 tasks of 13 go on.
    assert Counter(int(p.steps[0]) for p in proposals) == {10: 12, 30: 3, 90: 1}


def test_population_copies_the_best_over_the_worst():
    search = population(LINE, size=10, interval=50, max_steps=150, truncation=0.2)
    first, state = ask_and_tell(search, search.init(), 10)
    second, state = ask_and_tell(search, state, 10)
    order = np.argsort(rank_loss(first))
    assert second.start.tolist() == [50] * 10 and second.steps.tolist() == [100] * 10
    assert second.continues[:8].tolist() == first.id[order[:8]].tolist()
    np.testing.assert_array_equal(second.settings["lr"][:8], first.settings["lr"][order[:8]])
    assert set(second.continues[8:].tolist()) <= set(first.id[order[:2]].tolist())
    assert not set(second.settings["lr"][8:].tolist()) & set(first.settings["lr"].tolist())


def test_population_moves_by_a_step_of_the_range():
    search = population(LINE, size=10, interval=50, max_steps=150, step=0.1, resample=0.0)
    first, state = ask_and_tell(search, search.init(), 10)
    second, _ = search.ask(KEY, state, 10)
    parents = {i: rate for i, rate in zip(first.id.tolist(), first.settings["lr"], strict=True)}
    for child, parent in zip(second.settings["lr"][8:], second.continues[8:].tolist(), strict=True):
        decades = np.log10(child / parents[parent])
        # 0.4 of four decades, or mirrored at the upper end.
        assert abs(decades) == pytest.approx(0.4) or np.log10(child * parents[parent]) == pytest.approx(-0.4)


def test_population_replaces_all_that_diverged():
    search = population(LINE, size=10, interval=50, max_steps=150)
    first, state = search.ask(KEY, search.init(), 10)
    losses = np.where(np.arange(10) < 7, np.inf, 1.0)
    second, _ = search.ask(KEY, search.tell(state, first, losses), 10)
    assert set(second.continues.tolist()) <= set(first.id[7:].tolist())


def test_population_on_a_handful_of_cells_never_trains_the_same_twice():
    state, _ = play(population(FINITE, size=4, interval=10, max_steps=100, truncation=0.5), 12, 4)
    assert len(state.segments) == 48


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (successive_halving, {"min_steps": 0}, r"min_steps must be in \[1, max_steps\], got 0 and 2700"),
        (hyperband, {"min_steps": 5000}, "hyperband: min_steps"),
        (asha, {"eta": 1}, "asha: eta must be >= 2, got 1"),
        (successive_halving, {"num": 0}, "num must be >= 1, got 0"),
        (population, {"size": 1}, "size must be >= 2, got 1"),
        (population, {"interval": 0}, r"interval must be in \[1, max_steps\], got 0 and 2000"),
        (population, {"truncation": 0.6}, r"truncation must be in \(0, 0.5\], got 0.6"),
        (population, {"step": -0.1}, r"step must be in \[0, 1\], got -0.1"),
    ],
)
def test_options_are_checked_at_construction(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(LINE, **options)
