"""What every strategy promises, whatever it does."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest
from search_rows import FINITE, LINE, MIXED, ROWS, best_loss, fresh, loss, params, play

from hparam import FULL, SEARCHES, from_settings

SPACES = {"mixed": MIXED, "line": LINE, "finite": FINITE}


def test_every_strategy_has_a_row():
    assert [row.name for row in ROWS] == list(SEARCHES)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("row", params())
def test_fills_every_lane_with_something_new(row, space):
    """n rows at every call, whatever n; within the space; no segment twice, ever."""
    search = SEARCHES[row.name](space, **row.options)
    state, key, seen = search.init(), jax.random.key(1), set()
    for n in (1, 7, 16, 5):
        proposal, state = search.ask(key, state, n)
        assert len(proposal) == n and all(len(column) == n for column in proposal.settings.values())
        space.check(proposal.settings)
        assert len(set(proposal.id.tolist())) == n and not seen & set(proposal.id.tolist())
        seen |= set(proposal.id.tolist())
        state = search.tell(state, proposal, loss(proposal))


@pytest.mark.parametrize("row", params())
def test_fills_every_lane_while_nothing_has_come_back(row):
    search = SEARCHES[row.name](MIXED, **row.options)
    state, key = search.init(), jax.random.key(2)
    ids = []
    for _ in range(4):
        proposal, state = search.ask(key, state, 12)
        ids += proposal.id.tolist()
    assert len(set(ids)) == 48


@pytest.mark.parametrize("row", params())
def test_more_lanes_than_cells_become_further_seeds(row):
    """64 asked on 48 cells: each cell once, then 16 of them with the next seed."""
    search = SEARCHES[row.name](FINITE, **row.options)
    proposal, _ = search.ask(jax.random.key(3), search.init(), 64)
    if not SEARCHES[row.name].rungs:
        assert np.sum(proposal.repeat == 0) == 48 and np.sum(proposal.repeat == 1) == 16
    pairs = list(zip(*proposal.settings.values(), proposal.repeat, strict=True))
    assert len(set(pairs)) == 64 and proposal.repeat.max() <= 1


@pytest.mark.parametrize("row", params())
def test_next_proposal_depends_on_the_set_of_results_alone(row):
    """P6: told in one piece, or row by row backwards, the next proposal is the same to the last bit."""
    search = SEARCHES[row.name](MIXED, **row.options)
    key, state = jax.random.key(4), play(SEARCHES[row.name](MIXED, **row.options), 1, 12, seed=4)[0]
    proposal, asked = search.ask(key, state, 6)
    losses = loss(proposal)
    together = search.tell(asked, proposal, losses)
    apart = asked
    for i in reversed(range(6)):
        apart = search.tell(apart, proposal.take([i]), losses[[i]])
    _assert_same(search.ask(key, together, 4)[0], search.ask(key, apart, 4)[0])


@pytest.mark.parametrize("row", params())
def test_an_interrupted_study_asks_the_same_again(row):
    """Results told to an empty state give the state of the study that asked for them."""
    search = SEARCHES[row.name](MIXED, **row.options)
    state, proposals = play(search, 3, 6, seed=5)
    resumed = search.init()
    for proposal in reversed(proposals):
        resumed = search.tell(resumed, proposal, loss(proposal))
    assert resumed == state
    _assert_same(*(search.ask(jax.random.key(5), s, 4)[0] for s in (state, resumed)))


@pytest.mark.parametrize("row", params([row for row in ROWS if row.name not in ("grid", "coarse_to_fine")]))
def test_another_seed_asks_something_else(row):
    search = SEARCHES[row.name](MIXED, **row.options)
    one, other = (search.ask(jax.random.key(seed), search.init(), 8)[0] for seed in (6, 7))
    assert not np.array_equal(one.settings["lr"], other.settings["lr"])


@functools.cache
def played(name):
    """Six rounds of nine rows on a line."""
    (row,) = (row for row in ROWS if row.name == name)
    return play(SEARCHES[name](LINE, **row.options), 6, 9)


@pytest.mark.parametrize("row", params())
def test_segments_chain_up(row):
    """A segment starts where the one that it continues ended, which is finished and did not diverge."""
    state, _ = played(row.name)
    for segment in state.segments.values():
        if segment.continues == -1:
            assert segment.start == 0
            continue
        parent = state.segments[segment.continues]
        assert segment.start == parent.steps < segment.steps
        assert np.isfinite(parent.loss) and segment.repeat == parent.repeat
    assert {s.steps == FULL for s in state.segments.values()} == {not SEARCHES[row.name].rungs}


@pytest.mark.parametrize("row", params())
def test_chunks_hold_every_row_once_in_lock_step(row):
    _, proposals = played(row.name)
    for proposal in proposals:
        chunks = list(proposal.chunks())
        assert sorted(np.concatenate(chunks).tolist()) == list(range(9))
        for lanes in chunks:
            assert len({(proposal.start[i], proposal.steps[i], proposal.repeat[i]) for i in lanes}) == 1


@pytest.mark.parametrize("row", params())
@pytest.mark.parametrize("value", [np.inf, np.nan, 1.0], ids=["infinite", "nan", "equal"])
def test_goes_on_when_all_losses_are_alike(row, value):
    search = SEARCHES[row.name](LINE, **row.options)
    key, state, seen = jax.random.key(8), search.init(), set()
    for _ in range(4):
        proposal, state = search.ask(key, state, 8)
        state = search.tell(state, proposal, np.full(8, value))
        seen |= set(proposal.id.tolist())
    assert len(seen) == 32


@pytest.mark.parametrize("row", params())
def test_finds_the_optimum_of_a_line(row):
    """80 trials on four decades with a smooth optimum: within a factor 1.5 of it in the rate."""
    options = dict(row.options) | ({"levels": 32} if row.name == "grid" else {})
    state, _ = play(SEARCHES[row.name](LINE, **options), 5, 16)
    assert best_loss(state) < np.log10(1.5) ** 2 + (0.11 if SEARCHES[row.name].rungs else 1.0)


@pytest.mark.parametrize("row", params())
def test_takes_results_of_an_earlier_study(row):
    """Settings that it never asked for are told, and not proposed again as new."""
    search = SEARCHES[row.name](FINITE, **row.options)
    earlier = from_settings(FINITE, {"n": np.array([2.0, 3.0]), "k": np.array([4.0, 8.0])})
    state = search.tell(search.init(), earlier, np.array([0.2, 0.1]))
    proposal, _ = search.ask(jax.random.key(9), state, 46)
    first = fresh(proposal) & (proposal.repeat == 0)
    assert not {(2.0, 4.0), (3.0, 8.0)} & set(
        zip(proposal.settings["n"][first].tolist(), proposal.settings["k"][first].tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("losses", "message"),
    [([1.0], r"tell: losses must have shape \(2,\)"), ([0.0, -np.inf], "got -inf")],
    ids=["shape", "minus infinity"],
)
def test_tell_refuses_what_is_no_loss(losses, message):
    search = SEARCHES["random"](LINE)
    proposal, state = search.ask(jax.random.key(0), search.init(), 2)
    with pytest.raises(ValueError, match=message):
        search.tell(state, proposal, np.array(losses))


def test_tell_twice_is_once_but_a_changed_loss_is_refused():
    search = SEARCHES["random"](LINE)
    proposal, state = search.ask(jax.random.key(0), search.init(), 2)
    state = search.tell(state, proposal, np.array([1.0, np.nan]))
    assert search.tell(state, proposal, np.array([1.0, np.nan])) == state
    with pytest.raises(ValueError, match="was told 1 before, got 2"):
        search.tell(state, proposal, np.array([2.0, np.nan]))


def test_ask_refuses_no_lanes():
    search = SEARCHES["random"](LINE)
    with pytest.raises(ValueError, match="n must be >= 1, got 0"):
        search.ask(jax.random.key(0), search.init(), 0)


def _assert_same(one, other):
    assert one.notes == other.notes
    for a, b in zip(jax.tree.leaves(one[:-1]), jax.tree.leaves(other[:-1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_search_says_in_a_sentence_of_its_own_what_it_does():
    sentences = {search.about for search in SEARCHES.values()}
    assert len(sentences) == len(SEARCHES)
    assert all(sentence.endswith(".") and 20 < len(sentence) < 120 for sentence in sentences)
