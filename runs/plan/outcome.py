"""The plan of a stored curve as a table, sentences, a figure and plan.json."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, NamedTuple

import lr_batch
from lr_batch import Cluster, ClusterPlan, Estimate, HeldOutSize, PlannedRow
from runs.curve.table import short
from runs.opened import Opened, open_folder
from runs.plan.figures import plan_figure
from runs.text import Printer, table
from runs.write import plain, write_json

# Factors by which predicted steps were off in the median, and in nine of ten cases, at 4 and at 16 times the largest
# batch size of the fit: `python -m runs.recipes.spectrum_prediction`, kept in runs/results/prediction.
KEPT_ERRORS = {
    "sgd": {4: (1.06, 1.31), 16: (1.17, 1.63)},
    "other optimizers": {4: (1.2, 1.91), 16: (1.75, 4.43)},
}
# From so many seconds on, a time is told in this unit.
UNITS = ((1e6, 86400, "d"), (6000, 3600, "h"), (100, 60, "min"), (0.1, 1, "s"), (0.0, 1e-3, "ms"))
HEADINGS = ("devices", "batch", "best rate", "steps", "wall time", "device time", "")


class Plan(NamedTuple):
    """A plan, the cluster it is for, and how far predictions within the same study were off."""

    study: str
    cluster: Cluster
    plan: ClusterPlan
    held_out: tuple[HeldOutSize, ...]


def planned(folder: Path, devices: tuple[int, ...], cluster: Cluster) -> Plan:
    """The plan of the curve in `folder`; nothing is trained.

    Raises:
      ValueError: in one line: no curve, none with a plateau, none of one batch size a trial.
      runs.store.StoreError: there is nothing to read.
    """
    opened = open_folder(folder)
    result, analysis = opened.result, opened.analysis
    if result.batch_schedule:
        raise ValueError(
            f"plan: {folder} has batches that grow within a trial, whose steps do not cost the same: measure a curve of "
            "constant ones"
        )
    if analysis.critical is None:
        raise ValueError(f"plan: {folder}: {analysis.no_critical}")
    plan = lr_batch.cluster_plan(analysis.critical, analysis.law, devices, cluster)
    study = f"{result.workload} with {result.optimizer}, goal {result.goal}"
    return Plan(study, cluster, plan, _held_out(opened))


def _held_out(opened: Opened) -> tuple[HeldOutSize, ...]:
    reached = [o for o in opened.analysis.optima if o.steps is not None]
    return lr_batch.held_out_sizes(
        [o.batch_size for o in reached], [o.steps for o in reached if o.steps], [o.log_se for o in reached]
    )


def write_plan(planned: Plan, folder: Path) -> dict[str, Any]:
    """plan.json and plan.png in `folder`; returns what plan.json holds."""
    summary = plain(summarize(planned))
    write_json(folder / "plan.json", summary)
    plan_figure(planned.plan, planned.study, folder / "plan.png")
    return summary


def summarize(planned: Plan) -> dict[str, Any]:
    """All numbers; times in seconds."""
    plan = planned.plan
    return {
        "study": planned.study,
        "cluster": planned.cluster._asdict(),
        "level": plan.level,
        "measured_batch_sizes": list(plan.range),
        "steps_by": "the fitted curve" if plan.by_form else "interpolation",
        "rows": [_entry(row) for row in plan.rows],
        "knee": {"devices": plan.knee, "edge": plan.knee_edge},
        "unanswered": list(plan.unanswered),
        "prediction_errors": {
            "kept": KEPT_ERRORS,
            "this_study": [row._asdict() for row in planned.held_out],
        },
    }


def _entry(row: PlannedRow) -> dict[str, Any]:
    return {
        name: value._asdict() if isinstance(value, Estimate) else value
        for name, value in row._asdict().items()
    }


def print_plan(planned: Plan, stream: IO[str]) -> None:
    """A row for every number of devices, then what the marks mean, the knee, and how far to trust what is predicted."""
    say, plan = Printer(stream), planned.plan
    cluster = planned.cluster
    say(
        f"\n{planned.study}; {cluster.examples_per_second:,g} examples a second on one device, "
        f"{1e3 * cluster.overhead:g} ms more for every step; {plan.level:.0%} intervals"
    )
    say(table(HEADINGS, [_cells(row) for row in plan.rows]))
    for line in _lines(planned):
        say(line)


def _cells(row: PlannedRow) -> tuple[str, ...]:
    rate = row.learning_rate
    mark = "" if row.measured else "~"
    batch = {"low": "<= ", "high": ">= ", None: ""}[row.edge]
    others = "".join(f" {name} {value:g}" for name, value in row.others.items())
    return (
        f"{row.devices:,}",
        f"{mark}{batch}{row.batch_size.best:,.0f}",
        f"{rate.best:.3g} ({rate.low:.2g} to {rate.high:.2g}){others}" if rate else "not known",
        f"{mark}{short(row.steps.best)} ({short(row.steps.low)} to {short(row.steps.high)})",
        f"{mark}{span(row.seconds)}",
        f"{mark}{span(row.device_seconds)}",
        "front" if row.on_front else "" if row.measured else "predicted",
    )


def span(seconds: Estimate) -> str:
    """A time with its interval, in the unit of the time.

    >>> span(Estimate(9000.0, 8000.0, 12000.0)), span(Estimate(0.33, 0.29, 0.4)), span(Estimate(8.64e9, 8e9, 9e9))
    ('2.5 h (2.2 to 3.3)', '0.33 s (0.29 to 0.40)', '100,000 d (92,593 to 104,167)')
    """
    unit, name = next((unit, name) for least, unit, name in UNITS if seconds.best >= least)
    best, low, high = (_two_digits(value / unit) for value in seconds)
    return f"{best} {name} ({low} to {high})"


def _two_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}" if number >= 0.995 else f"{number:.2f}"


def _lines(planned: Plan) -> list[str]:
    plan = planned.plan
    first, last = plan.range
    lines = [*_knee_lines(plan)]
    if not planned.cluster.overhead:
        lines.append(
            "Without --overhead a step of one example a device costs nothing more: where the batch is as small as the "
            "number of devices, measure what a step takes beside its examples."
        )
    if not plan.by_form:
        lines.append("No curve fits: steps between measured batch sizes are interpolated.")
    if any(row.edge == "low" for row in plan.rows):
        lines.append(
            f"<= : the smallest batch size measured, {first:,}, is the best; smaller ones may be better."
        )
    if any(row.edge == "high" for row in plan.rows):
        lines.append(
            f">= : the largest batch size measured, {last:,}, is the best; larger ones may be better."
        )
    predicted = [row.devices for row in plan.rows if not row.measured]
    if predicted:
        lines.append(
            f"~ : more devices than the {last:,} examples of the largest batch size measured: predicted, without a rate, "
            "by a noisy quadratic; the interval is that of the fit alone."
        )
    if plan.unanswered:
        lines.append(
            f"Nothing is said of {', '.join(f'{n:,}' for n in plan.unanswered)} devices: more than 16 times {last:,} "
            "lies beyond what was measured and beyond what predictions were tried on."
        )
    return [*lines, *_error_lines(planned.held_out)]


def _knee_lines(plan: ClusterPlan) -> list[str]:
    if plan.knee is None:
        return []
    best, low, high = (f"{value:,.0f}" for value in plan.knee)
    side = {"low": "fewer", "high": "more", None: ""}[plan.knee_edge]
    lies = f", or {side}: it is the end of those asked for and measured" if side else ""
    return [
        f"Knee: {best} devices ({low} to {high}){lies}. Up to there twice the devices save more than 29% of the time, "
        "beyond it less."
    ]


def _error_lines(own: tuple[HeldOutSize, ...]) -> list[str]:
    """What predicting larger batch sizes from smaller ones is worth: elsewhere, and within this study."""
    kept = KEPT_ERRORS["sgd"]
    words = " and ".join(f"{kept[m][0]} at {m} times (nine in ten within {kept[m][1]})" for m in kept)
    other = " and ".join(f"{KEPT_ERRORS['other optimizers'][m][0]}" for m in kept)
    lines = [
        "Steps at larger batch sizes predicted by a noisy quadratic fitted to smaller ones were off, in the median of "
        f"kept curves of five workloads with SGD, by a factor of {words} the largest batch size of the fit; with other "
        f"optimizers by {other}."
    ]
    shown = [row for m in (4, 16) if (row := next((r for r in reversed(own) if r.factor == m), None))]
    if shown:
        said = "; ".join(
            f"fitted up to {row.fitted_until:,} it predicts {row.quadratic:.2f} times the steps measured at "
            f"{row.batch_size:,}"
            for row in shown
        )
        lines.append(f"In this study: {said}.")
    return lines
