"""Does the hyperbola survive a schedule? Steps against batch size with a rate that is constant, or falls to zero."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np
from matplotlib.figure import Figure

import lr_batch
from lr_batch import (
    LEVEL,
    Estimate,
    Optimum,
    Result,
    Study,
    at_goal,
    best_settings,
    critical_batch_size,
    log_grid,
)
from runs.plots import style
from runs.recipes.resumable import Limit, parser_of, run_recipe, train
from runs.write import plain, write_json

SCHEDULES = {"constant": style.BLUE, "warmup_stable_decay": style.VERMILION, "cosine": style.GREEN}
BESIDE = {
    "constant": 0.93,
    "warmup_stable_decay": 1.0,
    "cosine": 1.075,
}  # factor of the batch size: none hides another
# Lengths a factor 1.6 apart, from the fewest steps of the largest batch to twice those of the smallest.
RATES, LENGTHS = log_grid(0.02, 4.0, 12), tuple(round(24 * 1.6**i) for i in range(12))
BATCH_SIZES = tuple(2**i for i in range(11))
GOALS = ("loss<0.2", "loss<0.27", "loss<0.42")  # of digits_mlp; trained to the first


class Pair(NamedTuple):
    """Examples that `larger` takes to `goal`, over those of `smaller`; `clear` where fewer, all pairs taken together, as
    the interval of each is."""

    goal: str
    smaller: int
    larger: int
    ratio: Estimate
    clear: bool


class Curve(NamedTuple):
    """Of one schedule: optima to the study's goal, what the fit and its test say, pairs whose examples fall."""

    optima: tuple[Optimum, ...]
    critical: lr_batch.CriticalBatchSize | None
    refusal: str
    pairs: tuple[Pair, ...]


def main(arguments: Sequence[str] | None = None, *, quick: bool = False) -> dict[str, Any]:
    """Curves of digits_mlp with SGD under three schedules, each at its best rate and its best length.

    The length of a schedule is a hyperparameter beside the rate: 12 lengths in steps, the best at every batch size. Under
    a constant rate a larger batch never takes fewer examples; where it does under a schedule, curves of loss against
    examples cross, and no hyperbola has that shape (arXiv 2601.05034 finds so for warm-up-stable-decay). Told are the
    pairs of neighbouring batch sizes of which the larger takes clearly fewer examples, at three goals, and whether the
    test of fit objects.
    Command: `python -m runs.recipes.schedule_curves --out DIR`; half an hour on 2 CPU cores. Only the short form has
    been run: nothing is claimed here.

    Args:
      arguments: of the command line, see --help.
      quick: a small network, 4 batch sizes, 2 lengths, 2 seeds.
    """
    options = parser_of("schedule_curves", "Steps against batch size under three schedules.").parse_args(
        arguments
    )
    short = quick or options.quick
    trained = train(studies_of(quick=short), options.out, Limit(options.time_limit))
    if trained.unfinished:
        print(*trained.unfinished, sep="\n")
        return {}
    curves = {
        name: curve_of(result, ("loss<0.5",) if short else GOALS) for name, result in trained.results.items()
    }
    answer = {name: summary_of(curve) for name, curve in curves.items()}
    write_json(options.out / "schedule_curves.json", plain(answer))
    for name, curve in curves.items():
        print(*lines_of(name, curve), sep="\n")
    draw(curves, options.out / "schedule_curves.png")
    print(options.out.resolve())
    return answer


def studies_of(*, quick: bool = False) -> dict[str, Study]:
    """A study of each schedule; the constant one has no length."""
    rates = log_grid(0.1, 2.0, 5) if quick else RATES
    lengths = (128, 1024) if quick else LENGTHS
    return {
        name: Study(
            lr_batch.as_workload("digits_mlp", width=8 if quick else 128),
            schedule=None if name == "constant" else name,
            space={"learning_rate": rates} | ({} if name == "constant" else {"decay_steps": lengths}),
            batch_sizes=(4, 16, 64, 256) if quick else BATCH_SIZES,
            seeds=2 if quick else 4,
            goal="loss<0.5" if quick else GOALS[0],
            budget=2 * lengths[-1],
        )
        for name in SCHEDULES
    }


def curve_of(result: Result, goals: Sequence[str]) -> Curve:
    """The answer at the study's goal, and pairs at all goals."""
    optima, critical, refusal = best_settings(result), None, ""
    try:
        critical = critical_batch_size(result, optima=optima)
    except ValueError as error:
        refusal = str(error)
    return Curve(optima, critical, refusal, falling(result, goals))


def falling(result: Result, goals: Sequence[str]) -> tuple[Pair, ...]:
    """Neighbouring batch sizes of which the larger takes fewer examples: steps that fall steeper than 1 / B.

    All pairs of all goals are held together, each at a level so that one of them is wrongly clear in a tenth of studies.
    """
    pairs, num = [], len(goals) * (len(np.unique(result.batch_size)) - 1)
    for goal in goals:
        try:
            measured = critical_batch_size(at_goal(result, goal), level=1 - (1 - LEVEL) / num).measured
        except ValueError as error:
            print(f"{result.optimizer}, {goal}: left out: {error}", file=sys.stderr)
            continue
        for smaller, larger, slope in measured.slopes:
            ratio = Estimate(*((larger / smaller) ** (1 + np.array(slope))).tolist())
            pairs.append(Pair(goal, smaller, larger, ratio, ratio.high < 1))
    return tuple(pair for pair in pairs if pair.ratio.best < 1)


def summary_of(curve: Curve) -> dict[str, Any]:
    """All numbers, JSON-like."""
    critical = curve.critical
    return {
        "steps_to_goal": [
            {
                "batch_size": o.batch_size,
                "steps": o.steps,
                "low": o.low,
                "high": o.high,
                "examples": o.examples,
            }
            | {"rate": o.learning_rate, "length": dict(o.others).get("decay_steps"), "edges": dict(o.edges)}
            for o in curve.optima
        ],
        "critical_batch_size": critical
        and {"best": critical.value, "low": critical.low, "high": critical.high},
        "test": critical and critical.test._asdict(),
        "refusal": curve.refusal,
        "falling_examples": [pair._asdict() | {"ratio": pair.ratio._asdict()} for pair in curve.pairs],
    }


def lines_of(name: str, curve: Curve) -> list[str]:
    """What was measured under one schedule."""
    lines = [f"{name}: {curve.refusal}"] if curve.refusal else []
    crossing = [pair for pair in curve.pairs if pair.clear]
    if critical := curve.critical:
        test = "fits" if critical.test.fits else f"does not fit: {'; '.join(critical.test.notes)}"
        lines.append(
            f"{name}: critical batch size {critical.value:,.0f} ({critical.low:,.0f} to {critical.high:,.0f}), fewest "
            f"steps {critical.s_min:,.0f} ({critical.s_min_low:,.0f} to {critical.s_min_high:,.0f}); the curve {test}"
        )
    ends = [str(row.batch_size) for row in curve.optima if row.edge or row.edges]
    if ends:
        lines.append(
            f"{name}: the best rate or length lies at the end of its range at batch {', '.join(ends)}"
        )
    for pair in crossing:
        lines.append(
            f"{name}, {pair.goal}: batch {pair.larger} takes {pair.ratio.best:.2f} ({pair.ratio.low:.2f} to "
            f"{pair.ratio.high:.2f}) of the examples of batch {pair.smaller}: curves cross"
        )
    if not crossing:
        most = min(curve.pairs, key=lambda pair: pair.ratio.best, default=None)
        lines.append(
            f"{name}: no batch size takes clearly fewer examples than the next smaller one"
            + (
                f"; at most {most.ratio.best:.2f} ({most.ratio.low:.2f} to {most.ratio.high:.2f})"
                if most
                else ""
            )
        )
    if crossing and curve.critical:
        caught = "says so" if not curve.critical.test.fits else "does not see it"
        lines.append(f"{name}: the test of fit {caught}; published: the hyperbola fails (arXiv 2601.05034)")
    return lines


def draw(curves: Mapping[str, Curve], path: Path) -> Figure:
    """Examples and steps to the goal against batch size, with the fitted curves."""
    figure = style.new_figure(11.0, 5.0)
    about = "digits_mlp · SGD at the best rate and length of each batch size · 90% intervals · lines: fitted curves"
    style.headline(figure, "Does the hyperbola survive a schedule?", about, left=0.075)
    panels = [style.add_axes(figure, left=left, bottom=0.2, width=0.4, height=0.6) for left in (0.075, 0.575)]
    for axes, label in zip(panels, ("optimizer steps to the goal", "examples to the goal"), strict=True):
        by_examples = label.startswith("examples")
        factor = lambda size, by_examples=by_examples: size if by_examples else 1.0
        rows = {
            name: [
                (o.batch_size, *(factor(o.batch_size) * np.array(o.estimate)))
                for o in curve.optima
                if o.estimate
            ]
            for name, curve in curves.items()
        }
        if not any(rows.values()):
            style.note(axes, "the goal was not reached")
            continue
        style.batch_axis(axes, [row[0] for some in rows.values() for row in some])
        low, high = style.positive_span(*[np.array(some)[:, 1:] for some in rows.values() if some])
        style.log_axis(axes.yaxis, label, low / 1.4, high * 1.4)
        for name, some in rows.items():
            if some:
                x, best, below, above = np.array(some).T
                bars = style.bars(best, below, above)
                axes.errorbar(
                    x * BESIDE[name],
                    best,
                    yerr=bars,
                    color=SCHEDULES[name],
                    fmt="o",
                    markersize=5,
                    label=name,
                )
            if critical := curves[name].critical:
                at = np.geomspace(*critical.range, 60)
                steps = critical.curve(at).steps
                axes.plot(at, steps * (at if by_examples else 1.0), color=SCHEDULES[name], linewidth=1.3)
    style.legend_of_panels(figure, panels[0].get_legend_handles_labels()[0], 3)
    return style.save(figure, path)


if __name__ == "__main__":
    sys.exit(run_recipe(main))
