"""The nine panels of Shallue et al. (2019), figure 1, in small: steps to the goal and best rate against batch size.

    python -m runs.recipes.nine_panels --out runs/results/nine-panels
    python -m runs.recipes.nine_panels --out runs/results/nine-panels --panels a,c    # the others as they are

Each panel is `lr-batch curve PANEL-tiny`, trained as published in a folder of its own: on prepared data where there are
some, else on a stand-in (`lr-batch data prepare NAME --standin`), which the title says. Further options are those of
`lr-batch curve`. What a folder holds is not trained again, so it can be stopped at any time. Hours on two cores for all
nine; expect all three regimes in each panel. A panel that is not measured yet is an empty frame that says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import runs
from lr_batch import CriticalBatchSize, Estimate, Optimum
from runs.__main__ import main as lr_batch_command
from runs.curve.report.scaling import steps_chart
from runs.curve.words import batch_estimate, critical_batch, trials
from runs.opened import Opened
from runs.page import Chart, Page, write_page
from runs.page.tables import table
from runs.plots import style
from runs.store.database import NAME

PANELS = {
    "a": "mnist_simple_cnn",
    "b": "fashion_mnist_simple_cnn",
    "c": "cifar10_resnet8",
    "d": "imagenet_resnet50",
    "e": "open_images_resnet50",
    "f": "lm1b_transformer",
    "g": "common_crawl_transformer",
    "h": "imagenet_vgg11",
    "i": "lm1b_lstm",
}
SCALE = "tiny"
COLUMNS = 3


def main(arguments: Sequence[str] | None = None) -> dict[str, Opened]:
    """Trains what is missing of the panels asked for, draws all that are there, and returns them by letter."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=Path("nine-panels"), help="folder of the figures and studies"
    )
    parser.add_argument(
        "--panels", type=_letters, default=tuple(PANELS), help="letters, such as a,c; default: all"
    )
    options, further = parser.parse_known_args(arguments)
    for letter in options.panels:
        study = [f"{PANELS[letter]}-{SCALE}", "--out", str(options.out / PANELS[letter])]
        if lr_batch_command(["curve", *study, *further]) != 0:
            print(f"panel {letter} is left out; what is finished is kept", file=sys.stderr)
    there = {
        letter: runs.open(options.out / name) for letter, name in PANELS.items() if _begun(options.out / name)
    }
    draw_panels(there, draw_steps, "Steps to the goal against batch size", options.out / "steps_to_goal.png")
    draw_panels(
        there, draw_rates, "Best effective rate against batch size", options.out / "effective_rate.png"
    )
    if there:
        write_page(page_of(there), options.out / "report.html")
    return there


def page_of(there: Mapping[str, Opened]) -> Page:
    """The panels that are there, to point at; each has a page of its own in its folder."""
    charts, said = [], []
    for letter, opened in there.items():
        result, critical = opened.result, opened.analysis.critical
        title = f"({letter}) {result.workload}, {result.goal}"
        chart = steps_chart(result, opened.analysis)
        charts.append(Chart(f"panel-{letter}", title, f"More is in {PANELS[letter]}/report.html.", chart))
        words = _critical_words(critical) if critical else ("not fitted", "")
        said.append((title, *words, trials(result)))
    headings = ("panel", "", "batch size, 90 % interval", "trials")
    return Page(
        title="Steps to the goal against batch size: the panels of Shallue et al. (2019) in small",
        subtitle=f"{len(there)} of {len(PANELS)} panels are measured; networks in small, trained as published",
        advice=[f"{title}: {' '.join(words).strip()}." for title, *words, _ in said],
        charts=charts,
        sections=[("Where larger batches stop to pay", table(headings, said, left=True))],
        about=[("recipe", "python -m runs.recipes.nine_panels")],
    )


def _letters(said: str) -> tuple[str, ...]:
    letters = tuple(said.split(","))
    unknown = [letter for letter in letters if letter not in PANELS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PANELS)}")
    return letters


def _begun(folder: Path) -> bool:
    return (folder / NAME).exists()


def draw_panels(
    there: Mapping[str, Opened], draw: Callable[[Axes, Opened], None], title: str, path: Path
) -> Figure:
    """A frame for each of the nine, three in a row."""
    figure = style.new_figure(10.5, 9.8)
    figure.text(0.06, 0.975, title, fontsize=13, fontweight="bold", color=style.INK, va="center")
    note = "networks in small, trained as published; bars and bands are 90 % intervals"
    note += "; dashed: in proportion to the batch size" if draw is draw_rates else ""
    figure.text(0.06, 0.95, note, fontsize=9.5, color=style.MUTED, va="center")
    for place, (letter, name) in enumerate(PANELS.items()):
        row, column = divmod(place, COLUMNS)
        axes = style.add_axes(figure, 0.06 + 0.322 * column, 0.695 - 0.315 * row, 0.255, 0.2)
        if letter in there:
            draw(axes, there[letter])
            _name(axes, letter, there[letter].result.workload, str(there[letter].result.goal))
        else:
            axes.set_xticks([])
            axes.set_yticks([])
            style.note(axes, "not measured yet")
            _name(axes, letter, name, "")
    path.parent.mkdir(parents=True, exist_ok=True)
    style.save(figure, path.with_suffix(".svg"))
    return style.save(figure, path)


def _name(axes: Axes, letter: str, workload: str, goal: str) -> None:
    looks = {"transform": axes.transAxes, "va": "bottom", "fontsize": style.SMALL}
    axes.text(0, 1.1, f"({letter}) {style.plain(workload, 38)}", color=style.INK, fontweight="bold", **looks)
    axes.text(0, 1.02, style.plain(goal, 38), color=style.MUTED, **looks)


def draw_steps(axes: Axes, opened: Opened) -> None:
    """Steps with intervals; the curve where it fits."""
    _axes(axes, opened, "steps", [row.estimate for row in opened.analysis.optima])
    _points(axes, opened.analysis.optima, lambda row: row.estimate)
    critical = opened.analysis.critical
    if critical is None:
        return
    _mark(axes, critical)
    if critical.test.fits:
        batch = np.geomspace(*axes.get_xlim(), 100)
        axes.plot(batch, critical.curve(batch).steps, color=style.BLUE, linewidth=1.3)


def _mark(axes: Axes, critical: CriticalBatchSize) -> None:
    """The interval of the critical batch size, or where the curve does not fit that of the end of linear scaling."""
    shown = critical if critical.test.fits else critical.measured.linear_until
    low, high = np.clip([shown.low, shown.high], *axes.get_xlim())
    axes.axvspan(low, high, color=style.VERMILION, alpha=0.13, linewidth=0, zorder=0)
    looks = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 7.5, "color": style.RUST}
    name, size = _critical_words(critical)
    axes.text(0.97, 0.95, f"{name}\n{size}", path_effects=style.over_lines(), **looks)


def _critical_words(critical: CriticalBatchSize) -> tuple[str, str]:
    """What is said of a panel, and its number with the interval."""
    if critical.test.fits:
        return "critical batch size", critical_batch(critical) + (
            "" if critical.reliable else " (unreliable)"
        )
    return "no curve fits; linear scaling until", batch_estimate(
        critical.measured.linear_until, critical.range
    )


def draw_rates(axes: Axes, opened: Opened) -> None:
    """Best learning rate / (1 - momentum), or the best rate where no momentum was searched; in proportion to the batch
    size along the dashed line."""
    of = lambda row: row.effective_rate or row.learning_rate
    _axes(axes, opened, "learning rate / (1 - momentum)", list(map(of, opened.analysis.optima)))
    known = [(row.batch_size, of(row).best) for row in opened.analysis.optima if of(row)]
    if known:
        batch = np.array(axes.get_xlim())
        linear = known[0][1] * batch / known[0][0]
        axes.plot(batch, linear, color=style.MUTED, linewidth=1, linestyle=(0, (5, 3)), zorder=1.5)
    _points(axes, opened.analysis.optima, of)


def _axes(axes: Axes, opened: Opened, label: str, shown: Sequence[Estimate | None]) -> None:
    style.batch_axis(axes, opened.result.batch_size)
    sizes = np.unique(opened.result.batch_size)
    axes.set_xticks(sizes, [f"{size}" if i % 2 == 0 else "" for i, size in enumerate(sizes)])
    low, high = style.positive_span(*(estimate for estimate in shown if estimate))
    style.log_axis(axes.yaxis, label, low / 1.6, high * 1.6)
    axes.tick_params(labelsize=7.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_label().set_fontsize(8.5)


def _points(axes: Axes, optima: Sequence[Optimum], of: Callable[[Optimum], Estimate | None]) -> None:
    rows = [(row.batch_size, *estimate) for row in optima if (estimate := of(row))]
    if rows:
        batch, best, low, high = np.array(rows, float).T
        looks = {"color": style.BLUE, "markersize": 4, "capsize": 2, "elinewidth": 1.1}
        axes.errorbar(batch, best, yerr=style.bars(best, low, high), fmt="o", zorder=4, **looks)


if __name__ == "__main__":
    main()
