"""From small to large: the critical batch size against the width of a model and against the amount of training."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported


import lr_batch
from lr_batch import (
    CriticalBatchSize,
    CriticalExponents,
    Estimate,
    Result,
    Study,
    at_goal,
    critical_batch_size,
    critical_exponents,
)
from runs.recipes.critical_scaling_figure import draw
from runs.recipes.resumable import Limit, parser_of, run_recipe, train
from runs.write import plain, write_json

FEW_STEPS = 5.0  # a goal met sooner says little: whole steps are its unit
# Zhang et al. (2024), language models: exponent of the critical batch size in data, and in width at equal data.
PUBLISHED_DATA, PUBLISHED_WIDTH = 0.47, "about flat in width (Zhang et al., 2024)"


class Case(NamedTuple):
    """A workload at several widths; `goals` from the hardest, to which trials are trained, to the easiest."""

    workload: str
    widths: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    goals: tuple[str, ...]
    seeds: int = 4


CASES = (
    Case(
        "digits_mlp",
        (16, 64, 256, 1024),
        tuple(2**i for i in range(11)),
        ("loss<0.2", "loss<0.27", "loss<0.36", "loss<0.48", "loss<0.65"),
    ),
    Case(
        "pydoc_lm",
        (16, 32, 64, 128),
        tuple(2**i for i in range(8)),
        ("loss<2.7", "loss<2.8", "loss<2.9", "loss<3.0", "loss<3.1"),
    ),
)
QUICK = (Case("digits_mlp", (8, 16), (4, 16, 64, 256), ("loss<0.5", "loss<0.8"), seeds=2),)

Measured = Mapping[tuple[int, str], CriticalBatchSize]  # by width and goal


def main(arguments: Sequence[str] | None = None, *, quick: bool = False) -> dict[str, Any]:
    """Critical batch sizes of digits_mlp and pydoc_lm, SGD, at four widths and five goals, and their exponents.

    Trials are trained to the hardest goal; easier ones are read off the same curves. Exponents are slopes of log B_crit
    over all widths, and over all goals against log E_min, the examples that the goal takes at least; seeds are left out
    one at a time through everything, so that goals and widths share them.
    Command: `python -m runs.recipes.critical_scaling --out DIR`; ten minutes on 2 CPU cores for digits_mlp, hours for
    pydoc_lm, which has not been run whole. Expect, of digits_mlp, width^-0.03 (-0.08 to 0.01) and examples^0.44 (0.39 to
    0.50): as published, about flat in width and a power of 0.47 in data.

    Args:
      arguments: of the command line, see --help.
      quick: two small widths, two goals, two seeds.
    """
    parser = parser_of("critical_scaling", "The critical batch size against width and against goal.")
    options = parser.parse_args(arguments)
    limit, answer = Limit(options.time_limit), {}
    for case in QUICK if quick or options.quick else CASES:
        trained = train(studies_of(case), options.out, limit)
        if trained.unfinished:
            print(*trained.unfinished, sep="\n")
            continue
        results = {width: trained.results[_folder(case, width)] for width in case.widths}
        found = measured(case, results)
        exponents = critical_exponents(found)
        answer[case.workload] = summary_of(found, exponents)
        print(*lines_of(case, found, exponents), sep="\n")
        about = f"{case.workload} · SGD · {case.seeds} seeds · 90% intervals; dashed: published power {PUBLISHED_DATA}"
        draw(found, about, PUBLISHED_DATA, options.out / f"critical_scaling-{case.workload}.png")
    if answer:
        write_json(options.out / "critical_scaling.json", plain(answer))
    return answer


def studies_of(case: Case) -> dict[str, Study]:
    """A study of each width, to the hardest goal."""
    return {
        _folder(case, width): Study(
            lr_batch.as_workload(case.workload, width=width),
            batch_sizes=case.batch_sizes,
            seeds=case.seeds,
            goal=case.goals[0],
        )
        for width in case.widths
    }


def _folder(case: Case, width: int) -> str:
    return f"{case.workload}-{width}"


def measured(case: Case, results: Mapping[int, Result]) -> Measured:
    """Critical batch sizes where trials allow one; a line on stderr where they do not."""
    found = {}
    for width, result in results.items():
        for goal in case.goals:
            try:
                critical = critical_batch_size(at_goal(result, goal))
                fewest = min(row.steps for row in critical.optima if row.steps is not None)
                if fewest < FEW_STEPS:
                    raise ValueError(f"met within {fewest:.1f} steps at some batch size")
                found[width, goal] = critical
            except ValueError as error:
                print(f"{case.workload}, width {width}, {goal}: left out: {error}", file=sys.stderr)
    return found


def summary_of(found: Measured, exponents: CriticalExponents) -> dict[str, Any]:
    """All numbers, JSON-like."""
    told = lambda slopes: {str(key): one._asdict() for key, one in slopes.items()}
    mean = lambda one: one and one._asdict()
    return {
        "critical": [
            {"width": width, "goal": goal, "e_min": one.e_min, "reliable": one.reliable}
            | {"best": one.value, "low": one.low, "high": one.high}
            for (width, goal), one in found.items()
        ],
        "exponent_in_width": told(exponents.width) | {"mean": mean(exponents.mean_width)},
        "exponent_in_examples": told(exponents.data) | {"mean": mean(exponents.mean_data)},
        "published": {"width": PUBLISHED_WIDTH, "examples": PUBLISHED_DATA},
    }


def lines_of(case: Case, found: Measured, exponents: CriticalExponents) -> list[str]:
    """A sentence for each critical batch size and each exponent."""
    name = case.workload
    lines = [
        f"{name}, width {width}, {goal}: critical batch size {one.value:,.1f} ({one.low:,.1f} to {one.high:,.1f})"
        + ("" if one.reliable else ", not reliable")
        for (width, goal), one in found.items()
    ]
    lines += [f"{name}, {goal}: B_crit grows as width^{_text(one)}" for goal, one in exponents.width.items()]
    lines += [
        f"{name}, width {width}: B_crit grows as examples^{_text(one)}"
        for width, one in exponents.data.items()
    ]
    if exponents.mean_width:
        lines.append(
            f"{name}: width^{_text(exponents.mean_width)} in the mean over goals; published: {PUBLISHED_WIDTH}"
        )
    if exponents.mean_data:
        lines.append(
            f"{name}: examples^{_text(exponents.mean_data)} in the mean over widths; published: {PUBLISHED_DATA} in data "
            "(Zhang et al., 2024)"
        )
    return lines


def _text(one: Estimate) -> str:
    return f"{one.best:.2f} ({one.low:.2f} to {one.high:.2f})"


if __name__ == "__main__":
    sys.exit(run_recipe(main))
