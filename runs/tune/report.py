"""The page of a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hparam.space import rows as settings_of
from hparam.tuning.tune import Tuning
from runs.page import Chart, Page, write_page
from runs.page.blocks import Spec, escape, layout, linear_axis, markers, span_axis
from runs.page.tables import card, cards, table
from runs.page.trials import Rows, counts, provenance, shown
from runs.plots import style
from runs.tune.figures import rows_of, scale_of, unit_ticks
from runs.tune.run import first_fresh_seed

SEARCH = "search"  # phase of an exported trial


def write_report(tuning: Tuning, summary: Mapping[str, Any], advice: str, folder: Path) -> None:
    """`report.html` in `folder`."""
    rows = trial_rows(tuning)
    best = summary["answer"] and summary["answer"]["reaches"]
    page = Page(
        title=f"{summary['workload']} with {summary['optimizer']}, batch size {summary['batch_size']}",
        subtitle=f"{summary['search']} over {', '.join(summary['space'])}: {summary['segments']:,} trials",
        advice=(advice,) if advice else (),
        notes=summary["notes"],
        cards=cards([*_setting_cards(summary), *([_reach_card(summary, best)] if best else [])]),
        charts=charts_of(tuning, rows),
        sections=[("Settings that were trained again on fresh seeds", _finalists(summary))],
        rows=shown(rows),
        rows_title="Every trial",
        about=[
            *((name, text) for name, text in summary["space"].items()),
            *((name, value) for name, value in summary["fixed"].items()),
            ("loss", summary["loss"]),
            *counts(rows),
            *provenance(folder),
        ],
    )
    write_page(page, folder / "report.html")


def _setting_cards(summary: Mapping[str, Any]) -> list[str]:
    labels = summary["answer"]["labels"] if summary["answer"] else {}
    return [card(escape(name), escape(label), "to use") for name, label in labels.items()]


def _reach_card(summary: Mapping[str, Any], best: Mapping[str, float]) -> str:
    remark = f"on fresh seeds; 90% interval {best['low']:.4g} to {best['high']:.4g}"
    return card(escape(summary["loss"]), f"{best['best']:.4g}", remark)


def _finalists(summary: Mapping[str, Any]) -> str:
    found, finalists = summary["answer"], summary["finalists"]
    if not found:
        return "<p>None: every trial diverged.</p>"
    said = dict.fromkeys(found["as_good"], "perhaps as good") | dict.fromkeys(found["told_apart"], "worse")
    order = sorted(range(len(finalists)), key=lambda i: (i in said, [*said].index(i) if i in said else 0))
    headings = (*finalists[0]["labels"], "in the search", "on fresh seeds", "90 % interval", "")
    return table(headings, [(*_cells(finalists[i]), said.get(i, "use this")) for i in order])


def _cells(finalist: Mapping[str, Any]) -> tuple[str, ...]:
    fresh, low = finalist["fresh_mean"], finalist["low"]
    return (
        *finalist["labels"].values(),
        f"{finalist['loss_in_search']:.4g}",
        f"{finalist['diverged']} diverged" if fresh is None else f"{fresh:.4g}",
        "" if low is None else f"{low:.4g} to {finalist['high']:.4g}",
    )


def trial_rows(tuning: Tuning) -> list[dict[str, Any]]:
    """Every trial of the search in the order of its proposals, and those on fresh seeds; settings in `hparam.NAME`."""
    found, first = [], tuning.plan.first_seed
    for told in tuning.rounds:
        asked = told.proposal
        columns = (asked.repeat, asked.start, asked.steps, told.losses)
        for setting, repeat, start, end, loss in zip(settings_of(asked.settings), *columns, strict=True):
            steps = (int(end) or tuning.plan.study.max_steps) - int(start)
            found.append(_row(tuning, SEARCH, setting, first + int(repeat), steps, float(loss)))
    seed = first_fresh_seed(tuning)
    for finalist in tuning.finalists:
        setting = tuple(finalist.setting.values())
        for i, loss in enumerate(finalist.fresh.tolist()):
            found.append(_row(tuning, "fresh seed", setting, seed + i, tuning.plan.study.max_steps, loss))
    return found


def _row(
    tuning: Tuning, phase: str, setting: tuple[float, ...], seed: int, steps: int, loss: float
) -> dict[str, Any]:
    values = {f"hparam.{name}": value for name, value in zip(tuning.plan.space.names, setting, strict=True)}
    status = "finished" if np.isfinite(loss) else "diverged"
    size = tuning.plan.study.batch_sizes[0]
    return {
        "phase": phase,
        "loss": loss,
        **values,
        "batch_size": size,
        "seed": seed,
        "steps": steps,
        "status": status,
    }


def charts_of(tuning: Tuning, rows: Rows) -> list[Chart]:
    """The best so far, and the loss against each hyperparameter."""
    searched = [row for row in rows if row["phase"] == SEARCH]
    names = [f"hparam.{name}" for name in tuning.plan.space.names]
    return [_best_so_far(tuning), *(_against(tuning, i, name, searched) for i, name in enumerate(names))]


def _best_so_far(tuning: Tuning) -> Chart:
    cost, loss, steps = rows_of(tuning)
    alive = np.isfinite(loss)
    hover = [f"{value:.4g} after {step:,} steps" for value, step in zip(loss, steps, strict=True)]
    shown = np.array(hover, object)[alive]
    data: list[Spec] = [
        markers("a trial", cost[alive], loss[alive], shown, color=style.MUTED, size=6, opacity=0.6)
    ]
    for length in np.unique(steps)[::-1]:
        best = np.minimum.accumulate(np.where(alive & (steps == length), loss, np.inf))
        known = np.isfinite(best)
        line = {"shape": "hv", "width": 2, **({"color": style.BLUE} if length == steps.max() else {})}
        data.append(
            {"type": "scatter", "mode": "lines", "name": f"best at step {length:,}", "x": cost[known]}
            | {"y": best[known], "line": line, "hoverinfo": "skip"}
        )
    x_axis = linear_axis("training examples spent", 0.0, float(cost[-1]) * 1.03 if len(cost) else 1.0)
    y_axis = span_axis(escape(_loss_name(tuning, steps)), loss[alive])
    caption = "Each dot is a trial, in the order of the proposals. Diverged ones are left out."
    return Chart("best", "The best setting so far", caption, {"data": data, "layout": layout(x_axis, y_axis)})


def _loss_name(tuning: Tuning, steps: np.ndarray) -> str:
    """What is drawn; of trials that end at several steps without naming one."""
    name = tuning.plan.loss_name
    return name if len(np.unique(steps)) < 2 else f"{name.partition(' at step')[0]} at a trial's end"


def _against(tuning: Tuning, index: int, column: str, rows: Rows) -> Chart:
    """On the scale of the search: places on the unit interval, labelled with the values there."""
    name, dimension = list(tuning.plan.space.dimensions.items())[index]
    loss = np.array([row["loss"] for row in rows], float)
    at = np.array([float(np.ravel(dimension.to_unit(np.array([row[column]])))[0]) for row in rows])
    hover = np.array([_hover(tuning, row) for row in rows], object)
    alive = np.isfinite(loss)
    data = [markers("a trial", at[alive], loss[alive], hover[alive], color=style.BLUE, size=7, opacity=0.65)]
    if alive.any():
        top = np.full((~alive).sum(), loss[alive].max())
        crosses = {"symbol": "x-thin-open", "size": 9, "color": style.VERMILION}
        data.append(markers("diverged", at[~alive], top, hover[~alive], **crosses))
    places, texts = zip(*unit_ticks(dimension), strict=True)
    x_axis = linear_axis(f"{escape(name)} ({scale_of(dimension)})", -0.03, 1.03)
    y_axis = span_axis(escape(_loss_name(tuning, np.array([row["steps"] for row in rows]))), loss[alive])
    x_axis |= {"tickvals": places, "ticktext": [escape(text) for text in texts]}
    chart = {"data": data, "layout": layout(x_axis, y_axis)}
    caption = "Every trial of the search, also those that were ended early; point at one for its setting."
    return Chart(f"against-{index}", f"The loss against {name}", caption, chart)


def _hover(tuning: Tuning, row: Mapping[str, Any]) -> str:
    setting = {name: row[f"hparam.{name}"] for name in tuning.plan.space.names}
    lines = [f"{escape(name)} {escape(label)}" for name, label in tuning.plan.space.describe(setting).items()]
    return "<br>".join([*lines, f"loss {row['loss']:.4g} after {row['steps']:,} steps"])
