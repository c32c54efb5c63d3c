"""What a study trains round after round, from what was measured before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from lr_batch import following
from lr_batch.design import Asked
from lr_batch.extension import ROUNDS as EXTENSIONS
from lr_batch.extension import describe, rates_to_add
from lr_batch.grid import product
from lr_batch.result import Result
from lr_batch.search_loss import losses
from lr_batch.study import Study
from optim.arguments import explain_arguments


class Round(NamedTuple):
    """What is asked for at each batch size and seed, what is to be said of it, in lines, the lanes of each chunk that
    later rounds are likely to ask for, by batch size, and whether rates may be added beyond the grid afterwards."""

    cells: Mapping[tuple[int, int], Sequence[Asked]]
    events: tuple[str, ...] = ()
    to_come: Mapping[int, Sequence[int]] = MappingProxyType({})
    grows: bool = False


def rounds_of(study: Study, measured: Callable[[], Result]) -> Iterator[Round]:
    """The rounds of a study; `measured` gives all trials of those before. The same results make the same rounds."""
    return _searched(study, measured) if study.design else _grown(study, measured)


@explain_arguments
def planned_chunks(study: Study, width: int) -> dict[int, list[int]]:
    """Lanes of the chunks that a study is likely to train, by batch size.

    Of a followed grid these are the windows around the best rate, as far as they do not grow, and of a search that
    adapts its first proposals.

    Args:
      study: what is to be trained.
      width: lanes of a chunk at most, at least 1.
    """
    if width < 1:
        raise ValueError(f"planned_chunks: width must be at least 1, got {width}")
    first = next(rounds_of(study, _nothing))
    lanes = {size: list(first.to_come.get(size, ())) for size in study.batch_sizes}
    for (size, _), asked in first.cells.items():
        lanes[size].append(len(asked))
    return {size: [part for number in own for part in _cut(number, width)] for size, own in lanes.items()}


def _cut(number: int, width: int) -> list[int]:
    """So many trials in chunks."""
    return [min(width, number - start) for start in range(0, number, width)]


def _nothing() -> Result:
    raise AssertionError("the first round is planned before anything is measured")


def _grown(study: Study, measured: Callable[[], Result]) -> Iterator[Round]:
    """The grid, or where the best rate is in it; and then rates beyond its edges where the best ones lie there."""
    if study.follow:
        for wanted in following.rounds(study, measured):
            cells = {cell: [*map(Asked, settings)] for cell, settings in wanted.cells.items()}
            yield Round(cells, to_come=wanted.to_come, grows=study.extend)
    else:
        grid = dict.fromkeys(study.batch_sizes, [*map(Asked, study.settings)])
        yield _of_all_seeds(study, grid)._replace(grows=study.extend)
    for left in reversed(range(EXTENSIONS if study.extend else 0)):
        added = rates_to_add(measured())
        if not added:
            return
        beyond = {size: [*map(Asked, _at_rates(study, rates))] for size, rates in added.items()}
        yield _of_all_seeds(study, beyond)._replace(events=describe(added), grows=left > 0)


def chunks_beyond(study: Study, result: Result) -> dict[int, list[int]]:
    """Lanes of the chunks that the grid would grow by if no more were measured than `result`, by batch size."""
    seeds = len(study.seed_numbers)
    return {size: [len(_at_rates(study, rates))] * seeds for size, rates in rates_to_add(result).items()}


def _at_rates(study: Study, rates: Sequence[float]) -> tuple[dict[str, float], ...]:
    return product({**study.space, "learning_rate": rates})


def _searched(study: Study, measured: Callable[[], Result]) -> Iterator[Round]:
    """What the search proposes, from the losses of what it proposed before."""
    assert study.design
    rounds = study.design.rounds({size: study.steps_at(size) for size in study.batch_sizes})
    with contextlib.suppress(StopIteration):
        wanted = next(rounds)
        while True:
            asked = {size: _complete(study, proposed) for size, proposed in wanted.items()}
            yield _of_all_seeds(study, asked)
            settings = {size: [one.setting for one in row] for size, row in asked.items()}
            wanted = rounds.send(losses(study, measured(), settings))


def _complete(study: Study, proposed: Sequence[Asked]) -> list[Asked]:
    """What is asked for, with what all settings share."""
    settings = study.with_fixed(one.setting for one in proposed)
    return [one._replace(setting=setting) for one, setting in zip(proposed, settings, strict=True)]


def _of_all_seeds(study: Study, asked: Mapping[int, Sequence[Asked]]) -> Round:
    return Round({(size, seed): asked[size] for size in asked for seed in study.seed_numbers})
