"""The comparison of widths as a folder with figures and a summary, and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from rich.table import Table

from hparam import CoordinateCheck
from hparam.mup.coordinate_check import BATCH_SIZE, NUM_STEPS
from lr_batch import Result, as_optimizer
from runs.folder import default_folder, results
from runs.kept_json import write_kept
from runs.page.trials import rows_of
from runs.status.news import telling
from runs.text import Printer, add_row, table
from runs.transfer.best_rate import BestRate, best_rates, octaves_text, wider_is_worse
from runs.transfer.family import MUP, PARAMETERIZATIONS, Family
from runs.transfer.over_batches import batches_table, lines_of, over_batches, summary_of
from runs.transfer.over_batches import draw as draw_batches
from runs.transfer.run import (
    TransferPlan,
    check_coordinates,
    description,
    horizons,
    losses_after,
    studies_of,
    train_all,
)
from runs.write import plain


class About(NamedTuple):
    """What a comparison is of, beside its plan: names of network and optimizer, and whose loss was measured."""

    workload: str
    optimizer: str
    measured: str


Checks = Mapping[str, CoordinateCheck]


def measure(family: Family, plan: TransferPlan, folder: Path | None = None) -> tuple[Path, dict[str, Any]]:
    """Trains every width in both parameterizations in their folder; returns it and the summary.

    Raises:
      runs.store.StoreError: if the folder cannot be used or holds another comparison.
      KeyboardInterrupt: with all that is finished stored.
    """
    studies = studies_of(family, plan)
    described = description(family, plan, studies)
    optimizer = as_optimizer(family.optimizer).name
    if folder is None:
        folder = default_folder("transfer", (family.make.__name__, optimizer), described)
    names = f"{family.make.__name__}, {len(studies)} studies"
    about = About(named(family.make.__name__, family.options), optimizer, family.measured)
    with results(folder, "transfer", described), telling(folder, names):
        trained = train_all(studies, folder)
        rate = best_after(plan.steps, plan, trained)[MUP][0].rate.best
        checks = check_coordinates(family, plan.widths, rate)
        return folder, write_outcome(about, plan, trained, checks, folder)


def named(workload: str, options: Mapping[str, Any]) -> str:
    return workload + "".join(f", {name} {value}" for name, value in options.items())


def losses_of(
    steps: int, plan: TransferPlan, results: Mapping[str, Sequence[Result]]
) -> dict[str, np.ndarray]:
    """Of each parameterization the loss after so many steps, [widths, seeds, rates]."""
    return {
        name: np.stack([losses_after(steps, result, plan)[0] for result in some])
        for name, some in results.items()
    }


def best_after(
    steps: int, plan: TransferPlan, results: Mapping[str, Sequence[Result]]
) -> dict[str, tuple[BestRate, ...]]:
    """Of each parameterization the best rate of every width, by the loss after so many steps."""
    losses = losses_of(steps, plan, results)
    return {name: best_rates(plan.widths, plan.rates, loss) for name, loss in losses.items()}


def write_outcome(
    about: About,
    plan: TransferPlan,
    results: Mapping[str, Sequence[Result]],
    checks: Checks,
    folder: Path,
) -> dict[str, Any]:
    """Summary, page and figures into `folder`; returns the summary."""
    from runs.transfer import figures as draw
    from runs.transfer.report import write_report

    losses, best = losses_of(plan.steps, plan, results), best_after(plan.steps, plan, results)
    shifts = {steps: best_after(steps, plan, results) for steps in horizons(plan)}
    summary = summarize(about, plan, losses, best, shifts, checks)
    network = f"{about.workload} · {about.optimizer}"
    batch = plan.batch_sizes[0]
    if len(plan.batch_sizes) > 1:
        summary |= _over_batch_sizes(plan, results, network, folder)
    write_kept(folder / "summary.json", summary)
    decay = "" if plan.schedule == "constant" else f", {plan.schedule} decay"
    losses_text = f"{about.measured} loss after {plan.steps} steps of {batch}{decay}"
    setting = f"{network} · {losses_text} · {plan.seeds} seeds"
    draw.transfer(plan.rates, losses, best, setting, folder / "transfer.png")
    if checks:
        rate = best[MUP][0].rate.best
        checked = (
            f"{NUM_STEPS} steps of {BATCH_SIZE} at learning rate {rate:.2g}; right: exponent of the width"
        )
        draw.coordinates(checks, f"{network} · {checked}", folder / "coordinates.png")
    rows = [
        {"parameterization": name, "model width": width} | row
        for name, of_widths in results.items()
        for width, result in zip(plan.widths, of_widths, strict=True)
        for row in rows_of(result)
    ]
    write_report(summary, rows, folder)
    return summary


def _over_batch_sizes(
    plan: TransferPlan, results: Mapping[str, Sequence[Result]], network: str, folder: Path
) -> dict[str, Any]:
    """What several batch sizes add to the summary, and their figure."""
    found = {
        name: over_batches(plan, np.stack([losses_after(plan.steps, result, plan) for result in some]))
        for name, some in results.items()
    }
    draw_batches(
        plan, found, f"{network} · {plan.steps} steps · {plan.seeds} seeds", folder / "over_batches.png"
    )
    return {"over_batch_sizes": summary_of(plan, found)}


def summarize(
    about: About,
    plan: TransferPlan,
    losses: Mapping[str, np.ndarray],
    best: Mapping[str, tuple[BestRate, ...]],
    shifts: Mapping[int, Mapping[str, tuple[BestRate, ...]]],
    checks: Checks,
) -> dict[str, Any]:
    """All numbers, JSON-like. Losses [width][seed][rate] are null where a trial diverged."""
    summary = {
        **about._asdict(),
        "steps": plan.steps,
        "batch_size": plan.batch_sizes[0],
        "seeds": plan.seeds,
        "schedule": plan.schedule,
        "rates": list(plan.rates),
        "widths": list(plan.widths),
        "octaves_after_steps": {
            steps: {name: rows[name][-1].octaves._asdict() for name in PARAMETERIZATIONS}
            for steps, rows in shifts.items()
        },
        **{name: _side(losses[name], best[name], checks.get(name)) for name in PARAMETERIZATIONS},
    }
    return plain(summary)


def _side(loss: np.ndarray, best: tuple[BestRate, ...], check: CoordinateCheck | None) -> dict[str, Any]:
    worse, compared = wider_is_worse(loss)
    return {
        "best": [
            row._asdict() | {"rate": row.rate._asdict(), "octaves": row.octaves._asdict()} for row in best
        ],
        "wider_is_worse": {"rates": worse, "of": compared},
        "coordinates": check
        and {
            "size_exponents": check.exponents("size"),
            "change_exponents": check.exponents("change"),
            "growing": list(check.growing()),
            "size": check.size,
            "change": check.change,
        },
        "losses": loss,
    }


def print_transfer(summary: dict[str, Any], stream: IO[str]) -> None:
    """Best rates and losses by width, the shift of the optimum, and the coordinate check."""
    say = Printer(stream)
    say(
        f"\n{summary['workload']} with {summary['optimizer']}: {summary['measured']} loss after "
        f"{summary['steps']} steps of {summary['batch_size']}, rate {summary['schedule']}, "
        f"{summary['seeds']} seeds, 90% intervals"
    )
    say(_rates_table(summary))
    for name in PARAMETERIZATIONS:
        say(verdict(name, summary))
    say(_horizons_table(summary))
    if "over_batch_sizes" in summary:
        say(batches_table(summary, PARAMETERIZATIONS))
        for name in PARAMETERIZATIONS:
            say(*lines_of(summary, name))
    if all(summary[name]["coordinates"] for name in PARAMETERIZATIONS):
        say(_coordinates_table(summary))


def _rates_table(summary: dict[str, Any]) -> Table:
    headings = (
        "parameterization",
        "width",
        "best rate",
        "octaves from the first",
        "loss",
        "at the first's rate",
    )
    made = table(headings, left=1)
    for name in PARAMETERIZATIONS:
        for width, row in zip(summary["widths"], summary[name]["best"], strict=True):
            add_row(made, (name, f"{width:,}", *_rate_cells(row)))
        made.add_section()
    return made


def _rate_cells(row: dict[str, Any]) -> tuple[str, ...]:
    rate = f"{row['rate']['best']:.3g}" + (" (edge)" if row["edge"] else "")
    kept = f"x {row['kept']:.2f}" if row["kept"] else "diverged"
    loss = "diverged" if row["loss"] is None else f"{row['loss']:.4g}"
    return rate, octaves_text(row["octaves"]), loss, kept


def _horizons_table(summary: dict[str, Any]) -> Table:
    """Theory lets width grow at a fixed number of steps: the more steps, the wider a network must be."""
    rows = [
        (f"{steps:,}", *(octaves_text(shifts[name]) for name in PARAMETERIZATIONS))
        for steps, shifts in summary["octaves_after_steps"].items()
    ]
    title = "octaves from the first width to the last"
    return table(("after steps", *PARAMETERIZATIONS), rows, title=title)


def verdict(name: str, summary: dict[str, Any]) -> str:
    side, widths = summary[name], summary["widths"]
    worse, checked = side["wider_is_worse"], side["coordinates"]
    coordinates = "left out, the model is not made of Flax linen modules"
    if checked:
        coordinates = f"{', '.join(checked['growing']) or 'nothing'} grows with the width"
    return (
        f"{name:8s} best rate {_moved(side)} from width {widths[0]:,} to {widths[-1]:,}; "
        f"wider is worse at {worse['rates']} of {worse['of']} rates; coordinate check: {coordinates}"
    )


def _moved(side: dict[str, Any]) -> str:
    """How far the best rate moves, as far as the grid shows it."""
    last = side["best"][-1]
    if last["octaves"]["best"] is not None:
        return f"moves {octaves_text(last['octaves'])} octaves"
    at = [f"{row['width']:,}" for row in (side["best"][0], last) if row["edge"]]
    return (
        f"moves by an unknown distance (it lies on the edge of the grid at width {' and '.join(at)}: "
        "widen --learning-rates)"
    )


def _coordinates_table(summary: dict[str, Any]) -> Table:
    headings = [heading for name in PARAMETERIZATIONS for heading in (f"{name}: size", "change")]
    rows = []
    for layer in summary[PARAMETERIZATIONS[0]]["coordinates"]["size_exponents"]:
        powers = (
            summary[name]["coordinates"][f"{what}_exponents"][layer]
            for name in PARAMETERIZATIONS
            for what in ("size", "change")
        )
        rows.append((layer, *("not finite" if power is None else f"{power:+.2f}" for power in powers)))
    return table(("layer", *headings), rows, left=1, title=f"exponent of the width after {NUM_STEPS} steps")
