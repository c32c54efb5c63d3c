"""Runs of equal rate over batch overlap, until the batch is too large; and batches that are small first."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import jax
import numpy as np
from jaxtyping import Float

import lr_batch
from lr_batch import Estimate, Goal, Result, Study, estimate, log_grid
from runs.recipes.rate_over_batch_figure import draw
from runs.recipes.resumable import Limit, parser_of, run_recipe, train
from runs.write import plain, write_json

PLACES = 60  # in examples, at which runs are compared
WITHIN = 1.1  # losses apart by less than this factor overlap
# A third of the examples in small batches and the rest in batches four times as large take as many steps as all of them
# in batches twice as large: s / b + (1 - s) / 4b = 1 / 2b.
SMALL_FIRST = "x4@33.3333%"
ARMS = {"small first": (1, SMALL_FIRST), "constant": (2, None)}  # factor of the first batch, and what it does


class Case(NamedTuple):
    """`power` of the batch size with which the rate grows; `growing`: the first batch of runs that are small first."""

    optimizer: str
    power: float
    rate: float  # at the smallest batch size
    batch_sizes: tuple[int, ...]
    rates: tuple[float, float]  # ends of those that batches small first, and constant ones, choose from
    growing: int = 8
    epochs: int = 20
    seeds: int = 8
    width: int = 32
    num_rates: int = 6


CASES = (
    Case("sgd", 1.0, 0.05, tuple(2**i for i in range(1, 9)), (0.1, 3.2)),
    Case("adam", 0.5, 0.005, tuple(2**i for i in range(1, 9)), (0.002, 0.064)),
)
QUICK = (Case("sgd", 1.0, 0.1, (4, 16), (0.2, 0.4), epochs=2, seeds=2, width=8, num_rates=2),)


class Overlap(NamedTuple):
    """`loss` of every batch size at `examples`; `apart` is the ratio of losses to the smallest batch's over the second
    half of the examples; `until` the largest batch size up to which all overlap; from `apart_from` on all are apart for
    sure, by their intervals, None where the largest is not."""

    examples: Float[np.ndarray, " places"]
    loss: dict[int, Float[np.ndarray, "seeds places"]]
    apart: dict[int, Estimate]
    until: int
    apart_from: int | None


class Growing(NamedTuple):
    """Small batches first against constant ones at equal examples and equal steps, each at its best rate.

    `ratio` of the losses over the last tenth of the examples; `saved` is the part of the examples that the better of the
    two, named by `better`, does without, to get to where the other one ends.
    """

    rates: dict[str, float]
    ratio: Estimate
    better: str
    saved: Estimate


def main(arguments: Sequence[str] | None = None, *, quick: bool = False) -> dict[str, Any]:
    """Training loss against examples of runs with equal rate / batch (SGD) or rate / sqrt(batch) (Adam), on digits_mlp.

    Smith & Le (2018): SGD's noise goes with rate / batch, so such runs overlap as long as batches are below the critical
    size. They overlap here where their losses, in the geometric mean over the second half of the examples, are within
    10 % of those of the smallest batch. Then batches that are small in the first third of the examples and four times as
    large in the rest, beside constant ones that take as many examples in as many steps, each at the best of 6 rates
    (published: 43 % fewer steps by batches that grow, a language model, arXiv 2505.23971).
    Command: `python -m runs.recipes.rate_over_batch --out DIR`; two minutes on 2 CPU cores. Expect SGD's runs to overlap
    up to batch 32, its critical size being 35 here, and to part at 64, where the rate is too high to train; Adam's part
    little by little, surely from 64 on. Small batches first save a third of the examples with SGD, half with Adam.

    Args:
      arguments: of the command line, see --help.
      quick: SGD alone, 2 batch sizes, 2 epochs, 2 seeds.
    """
    options = parser_of("rate_over_batch", "Equal rate over batch; small batches first.").parse_args(
        arguments
    )
    limit, found = Limit(options.time_limit), {}
    for case in QUICK if quick or options.quick else CASES:
        trained = train({**studies_at_equal_ratio(case), **studies_of_arms(case)}, options.out, limit)
        if trained.unfinished:
            print(*trained.unfinished, sep="\n")
            return {}
        found[case] = overlap_of(case, trained.results), growing_of(case, trained.results)
        print(*lines_of(case, *found[case]), sep="\n")
    answer = {case.optimizer: summary_of(*both) for case, both in found.items()}
    write_json(options.out / "rate_over_batch.json", plain(answer))
    panels = {_title(case, one): (one.examples, one.loss) for case, (one, _) in found.items()}
    draw(panels, options.out / "rate_over_batch.png")
    print(options.out.resolve())
    return answer


def study(case: Case, batch_size: int, rates: Sequence[float], batches: str | None = None) -> Study:
    """All seeds, for all epochs, by training loss."""
    workload = lr_batch.as_workload("digits_mlp", width=case.width)
    every = jax.tree.map(lambda leaf: leaf[::2], workload.train_data)
    return Study(
        workload._replace(eval_data=every),
        case.optimizer,
        batch_sizes=(batch_size,),
        space={"learning_rate": rates},
        seeds=case.seeds,
        goal=Goal("loss", 0.0),  # out of reach: all are trained to the end
        budget=f"{case.epochs}epochs",
        slack=math.inf,
        extend=False,
        batch_schedule=batches,
        evaluation_growth=0.08,
        evaluation_share=1.0,
    )


def studies_at_equal_ratio(case: Case) -> dict[str, Study]:
    """One rate for each batch size."""
    first = case.batch_sizes[0]
    return {
        f"{case.optimizer}-ratio-{size}": study(case, size, (case.rate * (size / first) ** case.power,))
        for size in case.batch_sizes
    }


def studies_of_arms(case: Case) -> dict[str, Study]:
    """Small batches first, and constant ones, at several rates."""
    rates = log_grid(*case.rates, case.num_rates)
    return {
        f"{case.optimizer}-{name.replace(' ', '-')}": study(case, factor * case.growing, rates, batches)
        for name, (factor, batches) in ARMS.items()
    }


def losses_at(result: Result, places: np.ndarray) -> Float[np.ndarray, "seeds rates places"]:
    """Log loss of every trial at `places` in examples, between evaluations log against log; infinite once it diverged."""
    (size,) = np.unique(result.batch_size)
    rows = []
    for place in np.lexsort([result.hparams["learning_rate"], result.seed]):
        curve = result.curves[place]
        after = (curve.steps > 0) & np.isfinite(curve.values)
        examples = np.asarray(result.examples(int(size), curve.steps[after]), float)
        if len(examples) == 0:
            rows.append(np.full(len(places), np.inf))
            continue
        log = np.interp(np.log(places), np.log(examples), np.log(curve.values[after]))
        ended = places > 1.2 * examples[-1]  # a trial that diverged has no later evaluations
        rows.append(np.where(ended, np.inf, log))
    return np.array(rows).reshape(len(np.unique(result.seed)), -1, len(places))


def overlap_of(case: Case, results: Mapping[str, Result]) -> Overlap:
    """How far runs of equal ratio are apart."""
    places = places_of(case, results)
    logs = {
        size: losses_at(results[f"{case.optimizer}-ratio-{size}"], places)[:, 0] for size in case.batch_sizes
    }
    late = places > 0.5 * places[-1]
    mean = {size: log[:, late].mean(axis=1) for size, log in logs.items()}
    first = case.batch_sizes[0]
    with np.errstate(invalid="ignore"):
        apart = {size: _exp(mean[size] - mean[first]) for size in case.batch_sizes[1:]}
    overlap = {size: 1 / WITHIN < ratio.best < WITHIN for size, ratio in apart.items()}
    surely = {size: ratio.low > WITHIN or ratio.high < 1 / WITHIN for size, ratio in apart.items()}
    until = max([first, *itertools.takewhile(overlap.__getitem__, overlap)])
    apart_from = min(itertools.takewhile(surely.__getitem__, reversed(surely)), default=None)
    return Overlap(places, {size: np.exp(log) for size, log in logs.items()}, apart, until, apart_from)


def places_of(case: Case, results: Mapping[str, Result]) -> Float[np.ndarray, " places"]:
    """From a step of the largest batch to the end, evenly in the logarithm."""
    result = results[f"{case.optimizer}-ratio-{case.batch_sizes[0]}"]
    last = result.examples(case.batch_sizes[0], int(max(curve.steps[-1] for curve in result.curves)))
    return np.geomspace(4.0 * case.batch_sizes[-1], float(last), PLACES)


def growing_of(case: Case, results: Mapping[str, Result]) -> Growing:
    """Both arms, each at the rate with the least loss at the end."""
    places = places_of(case, results)
    late, rates, chosen = places > 0.9 * places[-1], {}, {}
    for name in ARMS:
        result = results[f"{case.optimizer}-{name.replace(' ', '-')}"]
        logs = losses_at(result, places)
        best = int(logs[:, :, late].mean(axis=(0, 2)).argmin())
        rates[name] = float(np.unique(result.hparams["learning_rate"])[best])
        chosen[name] = logs[:, best]
    ends = {name: log[:, late].mean(axis=1) for name, log in chosen.items()}
    small, constant = ARMS
    ratio = _exp(ends[small] - ends[constant])
    better, worse = (small, constant) if ratio.best < 1 else (constant, small)
    left = _exp(
        np.array([_log_left(log, end, places) for log, end in zip(chosen[better], ends[worse], strict=True)])
    )
    saved = Estimate(1 - left.best, 1 - left.high, 1 - left.low)
    return Growing(rates, ratio, better, saved)


def _log_left(log: Float[np.ndarray, " places"], end: float, places: np.ndarray) -> float:
    """Log of the part of the examples after which a curve has come down to `end` for good."""
    above = np.flatnonzero(log > end)
    place = places[0] if len(above) == 0 else places[min(above[-1] + 1, len(places) - 1)]
    return float(np.log(place / places[-1]))


def _exp(logs: Float[np.ndarray, " seeds"]) -> Estimate:
    return Estimate(*np.exp(estimate(logs)).tolist())


def summary_of(overlap: Overlap, growing: Growing) -> dict[str, Any]:
    """All numbers, JSON-like."""
    return {
        "apart": {str(size): ratio._asdict() for size, ratio in overlap.apart.items()},
        "overlap_until": overlap.until,
        "apart_from": overlap.apart_from,
        "small_first_over_constant": growing.ratio._asdict(),
        "best_rates": growing.rates,
        "better": growing.better,
        "saved_examples": growing.saved._asdict(),
    }


def lines_of(case: Case, overlap: Overlap, growing: Growing) -> list[str]:
    """A sentence for every number."""
    of, first = _quotient(case), case.batch_sizes[0]
    lines = [
        f"{case.optimizer}, equal {of}: batch {size} has {_text(ratio)} times the loss of batch {first}"
        for size, ratio in overlap.apart.items()
    ]
    return [
        *lines,
        f"{case.optimizer}: such runs overlap within 10% up to batch {overlap.until}, and are surely further apart "
        f"from {overlap.apart_from or 'none'} on",
        f"{case.optimizer}: small batches first have {_text(growing.ratio)} times the loss of constant ones at equal "
        f"examples and steps; {growing.better} saves {growing.saved.best:.0%} ({growing.saved.low:.0%} to "
        f"{growing.saved.high:.0%}) of the examples; published: 43% fewer steps by growing batches (arXiv 2505.23971)",
    ]


def _quotient(case: Case) -> str:
    return "rate / batch" if case.power == 1 else "rate / sqrt(batch)"


def _title(case: Case, overlap: Overlap) -> str:
    apart = f", surely not from {overlap.apart_from} on" if overlap.apart_from else ""
    return f"{case.optimizer}, equal {_quotient(case)}: within 10% up to batch {overlap.until}{apart}"


def _text(one: Estimate) -> str:
    return f"{one.best:.3g} ({one.low:.3g} to {one.high:.3g})"


if __name__ == "__main__":
    sys.exit(run_recipe(main))
