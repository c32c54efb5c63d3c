"""The headline: best rate and steps against batch size for five optimizers on Fashion-MNIST, and three noise scales.

    python -m runs.recipes.headline --out DIR                                  # resumable, everything
    python -m runs.recipes.headline --out DIR --step curves --time-limit 400s  # on a machine that is lent
    python -m runs.recipes.headline --out DIR --step curves --optimizers muon,soap

Steps are `curves`, `noise` and `report`, in this order; asked for alone, a later one reads what is stored.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import lr_batch
from lr_batch import Study, log_grid
from runs.compare.outcome import compare
from runs.curve.law_words import formula_text
from runs.curve.outcome import write_outcome
from runs.curve.run import stored_result
from runs.noise.beside_curve import at_best_setting
from runs.noise.run import measured
from runs.recipes.headline_figure import SCALES, draw
from runs.recipes.resumable import Limit, parser_of, run_recipe, train
from runs.write import plain, write_json

BATCH_SIZES = tuple(2**i for i in range(4, 13))
SEEDS = 8
BUDGET = 20_000  # steps: five times what the slowest of them needs at its best rate
STEPS = ("curves", "noise", "report")


class Entry(NamedTuple):
    """An optimizer, the ends of its rates and how many; what is published of its law and its critical batch size."""

    low: float
    high: float
    num: int
    law: str
    critical: str


# Rates are a factor 1.4 to 1.7 apart, from a third of the best at the smallest batch to twice the best at the largest, by
# kept curves and short trials. SOAP has fewer: its bases take most of the time.
# Critical batch sizes are fits to curves read off Shallue et al. (2019), fig. 1, a convolutional network on MNIST.
ENTRIES = {
    "sgd": Entry(
        0.0125,
        0.4,
        11,
        "rate = r / (1 + K / B) (McCandlish et al., 2018)",
        "201 on MNIST (Shallue et al., 2019)",
    ),
    "momentum": Entry(
        0.00125, 0.16, 15, "linear up to a knee (Goyal et al., 2017)", "350 on MNIST, 1.7 times SGD's"
    ),
    "adamw": Entry(
        1e-4,
        0.0128,
        15,
        "square root (Malladi et al., 2022) or with a peak (Li et al., 2024)",
        "none of one workload",
    ),
    "muon": Entry(0.002, 0.256, 15, "none with intervals", "larger than AdamW's (arXiv 2505.02222)"),
    "soap": Entry(4e-5, 0.01, 12, "none with intervals", "none"),
}
QUICK = ("sgd", "muon")


def study_of(optimizer: str, *, quick: bool = False) -> Study:
    """The study of one optimizer; the short one is of small networks on digits."""
    if quick:
        return Study(
            lr_batch.as_workload("digits_mlp", width=8),
            optimizer,
            batch_sizes=(4, 16, 64, 256),
            seeds=2,
            goal="loss<0.5",
        )
    entry = ENTRIES[optimizer]
    return Study(
        "fashion_mnist_fc",
        optimizer,
        batch_sizes=BATCH_SIZES,
        space={"learning_rate": log_grid(entry.low, entry.high, entry.num)},
        seeds=SEEDS,
        budget=BUDGET,
    )


def main(arguments: Sequence[str] | None = None, *, quick: bool = False) -> dict[str, Any] | None:
    """Best rate lr*(B), steps S(B), the law of each and the critical batch size, beside noise scales.

    SGD, momentum, AdamW, Muon and SOAP on fashion_mnist_fc at nine batch sizes, 8 seeds. Of each optimizer one trial at
    its best setting is trained with the noise scales of McCandlish et al. (2018), B_simple and B_noise, and those that
    fit sign-like and spectral updates. Critical batch sizes are compared with SGD's, seeds paired.
    A night on 2 CPU cores for each optimizer; one to three minutes on an H200, SOAP much longer. Where it is stopped, the
    same command goes on. Kept, without SOAP, in `runs/results/headline`.

    Args:
      arguments: of the command line, see --help.
      quick: SGD and Muon on a small digits_mlp.
    """
    parser = parser_of(
        "headline", "Best rate and steps against batch size for five optimizers on Fashion-MNIST."
    )
    parser.add_argument(
        "--optimizers", type=listed, metavar="NAMES", help=f"of {', '.join(ENTRIES)}; all where not given"
    )
    parser.add_argument("--step", choices=(*STEPS, "all"), default="all")
    options = parser.parse_args(arguments)
    quick, limit = quick or options.quick, Limit(options.time_limit)
    names = options.optimizers or (QUICK if quick else tuple(ENTRIES))
    studies = {name: study_of(name, quick=quick) for name in names}
    steps = STEPS if options.step == "all" else (options.step,)
    if "curves" in steps:
        trained = train(studies, options.out, limit)
        if trained.unfinished:
            print(*trained.unfinished, sep="\n")
        if trained.unfinished or limit.passed or steps == ("curves",):
            return None
        results = trained.results
    else:  # also of other machines and versions, which could not go on with them
        results = {name: stored_result(options.out / name) for name in studies}
    noise = noise_of(studies, results, options.out, limit if "noise" in steps else Limit(0.0))
    return report(results, noise, options.out) if "report" in steps else None


def listed(text: str) -> tuple[str, ...]:
    """Names of optimizers with commas between them."""
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in ENTRIES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(ENTRIES)}")
    return names


def noise_of(
    studies: Mapping[str, Study], results: Mapping[str, lr_batch.Result], folder: Path, limit: Limit
) -> dict[str, dict[str, Any]]:
    """Noise scales of every optimizer at its best setting near its critical batch size; no new ones after the limit."""
    found = {}
    for name, study in studies.items():
        place = folder / f"noise-{name}"
        if limit.passed and not (place / "summary.json").exists():
            continue
        try:
            _, summary = measured(at_best_setting(study, results[name]), place)
        except ValueError as error:
            print(f"{name}: no noise scale: {error}", file=sys.stderr)
            continue
        at_end = summary["points"][-1]
        scales = {"mean_simple": summary["mean_simple"]} | {
            key: at_end[key] for key in SCALES if key in at_end
        }
        found[name] = {"batch_size": summary["batch_size"], "scales": scales}
    return found


def report(
    results: Mapping[str, lr_batch.Result], noise: Mapping[str, Mapping[str, Any]], folder: Path
) -> dict[str, Any]:
    """Writes headline.json and headline.png, prints a sentence for every number, and returns what is in the former."""
    outcomes = {name: (result, write_outcome(result, folder / name)) for name, result in results.items()}
    comparison = compare([*outcomes.values()])
    answer = plain({**comparison.summary, "noise": noise})
    write_json(folder / "headline.json", answer)
    for name, (_, outcome) in outcomes.items():
        print(*lines_of(name, outcome, noise.get(name)), sep="\n")
    first = next(iter(results))
    for row in comparison.differences:
        if row.baseline == first:
            print(
                f"{row.quantity} of {row.optimizer} over that of {first}: {row.ratio:.2f} ({row.low:.2f} to "
                f"{row.high:.2f})" + ("" if row.clear else ", no clear difference")
            )
    draw(outcomes, noise, folder / "headline.png")
    print(folder.resolve())
    return answer


def lines_of(name: str, outcome: Any, noise: Mapping[str, Any] | None) -> list[str]:
    """What was measured of one optimizer, each number beside the published one."""
    published = ENTRIES[name]
    lines = (
        [f"{name}: {'; '.join(outcome.refusals)}"] if outcome.critical is None or outcome.law is None else []
    )
    if outcome.law:
        lines.append(
            f"{name}: best {formula_text(outcome.law)} ({outcome.law.words}); published: {published.law}"
        )
    edges = [str(row.batch_size) for row in outcome.optima if row.edge]
    if edges:
        lines.append(f"{name}: the best rate lies at the edge of the grid at batch {', '.join(edges)}")
    if critical := outcome.critical:
        doubt = "" if critical.reliable else f", not reliable: {'; '.join(critical.notes)}"
        lines.append(
            f"{name}: critical batch size {critical.value:,.0f} ({critical.low:,.0f} to {critical.high:,.0f}), fewest "
            f"steps {critical.s_min:,.0f} ({critical.s_min_low:,.0f} to {critical.s_min_high:,.0f}){doubt}; published: "
            f"{published.critical}"
        )
    if noise:
        said = [f"{SCALES[key]} {_scale(scale)}" for key, scale in noise["scales"].items() if scale]
        lines.append(f"{name}: noise scales at batch {noise['batch_size']}: {', '.join(said)}")
    return lines


def _scale(scale: Mapping[str, float | None]) -> str:
    best, low, high = (
        "infinite" if scale[end] is None else f"{scale[end]:,.0f}" for end in ("best", "low", "high")
    )
    return f"{best} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(run_recipe(main))
