"""What every search strategy is: `Search(init, ask, tell)`, pure functions over one kind of state.

The state is nothing but the set of what was asked and what came back, kept in
an order of its own. So the next proposal depends on the key and on that set,
never on the order in which results arrived.

How rungs meet chunks. A row of a proposal is a *segment* of training: it goes
from optimizer step `start` to step `steps`. Where `continues` is -1 the segment
starts from fresh parameters with seed number `repeat`; otherwise it takes over
the lane (parameters, optimizer state, place in the data) that segment
`continues` left behind, under the row's own hyperparameters. Segments of equal
(`repeat`, `start`, `steps`) can be lanes of one chunk: `Proposal.chunks` groups
them. A strategy without rungs asks for `steps = FULL`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from hparam.space import Settings, Space, rows
from optim.arguments import explain_arguments, shown, type_of

Key = jax.Array

FULL = 0  # `steps` of a trial that runs to the study's goal or budget
FRESH = -1  # `continues` of a segment that starts from new parameters


class Segment(NamedTuple):
    """One row of a proposal. `label` is the strategy's own note: bracket, stage, population."""

    setting: tuple[float, ...]
    repeat: int = 0
    start: int = 0
    steps: int = FULL
    continues: int = FRESH
    label: int = 0
    loss: float | None = None  # None while it runs, infinite where it diverged

    @property
    def told(self) -> bool:
        return self.loss is not None

    @property
    def known_loss(self) -> float:
        """The loss of a finished segment."""
        if self.loss is None:
            raise ValueError(f"search: segment {self} has not been told a loss")
        return self.loss


class Proposal(NamedTuple):
    """`n` segments as columns; row i of each belongs to the same lane.

    Attributes:
      settings: name -> [n] float64, all within the space.
      id: identity of each segment, derived from its content.
      repeat: 0 for the first seed of a setting, then 1, 2, ...
      start, steps: optimizer steps at the beginning and the end of the segment,
        both counted from fresh parameters; `steps` is FULL where there are no rungs.
      continues: id of the segment whose lane goes on, or -1.
      label: the strategy's own note.
      notes: what a person should know, for instance that a model was not usable.
    """

    settings: Settings
    id: Int[np.ndarray, " n"]
    repeat: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    steps: Int[np.ndarray, " n"]
    continues: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.id)

    def take(self, index: Any) -> Proposal:
        """The rows that `index` selects, for telling results as they come."""
        settings = {name: column[index] for name, column in self.settings.items()}
        return Proposal(settings, *(column[index] for column in self[1:-1]), notes=self.notes)

    def chunks(self) -> Iterator[Int[np.ndarray, " lanes"]]:
        """Row numbers of each group that can advance in lock-step, longest trained first."""
        groups: dict[tuple[int, int, int], list[int]] = {}
        for i, group in enumerate(zip(self.start, self.steps, self.repeat, strict=True)):
            start, steps, repeat = map(int, group)
            groups.setdefault((start, steps, repeat), []).append(i)
        for group in sorted(groups, key=lambda g: (-g[0], g[1], g[2])):
            yield np.array(groups[group])


class State(NamedTuple):
    """Segments by id, in the order of the ids: running ones (no loss yet) and finished ones."""

    segments: Mapping[int, Segment]

    @property
    def told(self) -> list[Segment]:
        if not isinstance(self.segments, Mapping):
            raise ValueError(f"state: segments must be a mapping from ids, got {shown(self.segments)}")
        return [segment for segment in self.segments.values() if segment.told]


class Search(NamedTuple):
    """A strategy: `state = init()`, then `ask` and `tell` in turn.

    Attributes:
      init: `() -> State`.
      ask: `(key, state, n) -> (Proposal of n rows, State)`. The key is that of
        the study, the same at every call: draws come from it and from the state.
      tell: `(state, proposal, losses [n]) -> State`. Smaller is better; NaN and
        infinity mean diverged. Rows may be told in any order and any portions,
        and rows that were never asked (an earlier study's) are welcome.
    """

    init: Callable[[], State]
    ask: Callable[[Key, State, int], tuple[Proposal, State]]
    tell: Callable[[State, Proposal, Float[np.ndarray, " n"]], State]


class Wanted(NamedTuple):
    """The segments that a strategy wants next, before they are laid out as columns of a `Proposal`."""

    segments: list[Segment]
    notes: tuple[str, ...] = ()


def make_search(space: Space, plan: Callable[[Key, State, int], Wanted]) -> Search:
    """A search from the one function that strategies differ in: `(key, state, n) -> Wanted` of n segments."""
    if not isinstance(space, Space):
        raise ValueError(f"search: space must be a Space, got {type_of(space)}")

    def ask(key, state, n):
        if n < 1:
            raise ValueError(f"ask: n must be >= 1, got {n}")
        segments, notes = plan(key, state, n)
        proposal = to_proposal(space, segments, notes)
        return proposal, _merge(state, proposal.id, segments)

    def tell(state, proposal, losses):
        losses = _checked_losses(losses, len(proposal))
        space.check(proposal.settings)
        told = [s._replace(loss=loss) for s, loss in zip(segments_of(proposal), losses.tolist(), strict=True)]
        _check_retold(space, state, proposal.id, told)
        return _merge(state, proposal.id, told)

    return Search(lambda: State({}), ask, tell)


def to_proposal(space: Space, segments: list[Segment], notes: tuple[str, ...] = ()) -> Proposal:
    """Segments laid out as columns."""
    values = np.array([s.setting for s in segments], dtype=float).reshape(len(segments), len(space))
    settings = {name: values[:, i] for i, name in enumerate(space.names)}
    ids = np.array([segment_id(space, segment) for segment in segments], dtype=np.int64)
    fields = ("repeat", "start", "steps", "continues", "label")
    columns = [np.array([getattr(s, field) for s in segments], dtype=np.int64) for field in fields]
    return Proposal(settings, ids, *columns, notes=notes)


@explain_arguments
def from_settings(space: Space, settings: Settings) -> Proposal:
    """Settings that were trained elsewhere as a proposal, to be told to a new search."""
    space.check(settings)
    return to_proposal(space, [Segment(setting) for setting in rows(settings)])


def segment_id(space: Space, segment: Segment) -> int:
    """60 bits from the content, so that a resumed study finds the same ids."""
    content = [space.hash(segment.setting), *map(int, segment[1:6])]
    return int(hashlib.sha256(repr(content).encode()).hexdigest()[:15], 16)


def generator(key: Key, *salt: int) -> np.random.Generator:
    """NumPy draws from a JAX key; other salts, other draws."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = np.asarray(jax.random.key_data(key) if typed else key)
    return np.random.default_rng([*words.ravel().tolist(), *salt])


@explain_arguments
def best(space: Space, state: State) -> tuple[dict[str, float], float] | None:
    """The told setting with the lowest mean loss at its longest training, or None where all diverged."""
    means = mean_losses(space, state)
    finite = {setting: loss for setting, loss in means.items() if np.isfinite(loss)}
    if not finite:
        return None
    setting = min(finite, key=lambda s: (finite[s], s))
    return dict(zip(space.names, setting, strict=True)), finite[setting]


def mean_losses(space: Space, state: State) -> dict[tuple[float, ...], float]:
    """Mean over seeds of each setting trained to the last rung that any trial finished."""
    told = state.told
    last = max((segment.steps for segment in told if np.isfinite(segment.known_loss)), default=FULL)
    losses: dict[str, list[Segment]] = {}
    for segment in told:
        if segment.steps == last:
            losses.setdefault(space.hash(segment.setting), []).append(segment)
    return {same[0].setting: float(np.mean([s.known_loss for s in same])) for same in losses.values()}


def segments_of(proposal: Proposal) -> list[Segment]:
    """The rows of a proposal."""
    columns = (proposal.repeat, proposal.start, proposal.steps, proposal.continues, proposal.label)
    return [
        Segment(setting, *map(int, fields))
        for setting, *fields in zip(rows(proposal.settings), *columns, strict=True)
    ]


def _merge(state: State, ids: Int[np.ndarray, " n"], segments: list[Segment]) -> State:
    merged = {**state.segments, **dict(zip(ids.tolist(), segments, strict=True))}
    return State(dict(sorted(merged.items())))


def _checked_losses(losses: ArrayLike, n: int) -> Float[np.ndarray, " n"]:
    """Float64 losses, infinite where the trial diverged."""
    losses = np.asarray(losses, dtype=float)
    if losses.shape != (n,):
        raise ValueError(f"tell: losses must have shape ({n},), one per row, got {losses.shape}")
    if np.any(losses == -np.inf):
        raise ValueError("tell: a loss must be finite, or +inf or NaN where the trial diverged, got -inf")
    return np.where(np.isnan(losses), np.inf, losses)


def _check_retold(space: Space, state: State, ids: np.ndarray, told: list[Segment]) -> None:
    for i, segment in zip(ids.tolist(), told, strict=True):
        known = state.segments.get(i)
        if known is not None and known.told and known.loss != segment.loss:
            setting = dict(zip(space.names, segment.setting, strict=True))
            raise ValueError(f"tell: {setting} was told {known.loss:g} before, got {segment.known_loss:g}")
