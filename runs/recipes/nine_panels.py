"""The nine panels of Shallue et al. (2019), figure 1, in small: steps to the goal and best rate against batch size.

    python -m runs.recipes.nine_panels --out runs/results/nine-panels
    python -m runs.recipes.nine_panels --out runs/results/nine-panels --panels a,c    # the others as they are

A panel that is not measured yet is an empty frame that says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np

from runs.__main__ import main as lr_batch_command
from runs.kept_json import read_kept
from runs.page import Chart, Page, write_page
from runs.page.blocks import Spec, batch_axis, layout, line, log_axis, points
from runs.page.tables import table
from runs.plots import style
from runs.recipes.nine_panels_figure import Panel, draw_panels, draw_rates, draw_steps, panel_of

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
QUICK = ("--batch-sizes", "64,128", "--trials", "2", "--seeds", "1", "--budget", "3", "--no-extend")


def main(
    out: str = "nine-panels",
    panels: Sequence[str] = tuple(PANELS),
    further: Sequence[str] = (),
    *,
    quick: bool = False,
) -> dict[str, Panel]:
    """Trains what is missing of the panels asked for, draws all that are there, and returns them by letter.

    Each panel is `lr-batch curve PANEL-tiny`, trained as published in a folder of its own: on prepared data where there
    are some, else on a stand-in (`lr-batch data prepare NAME --standin`), which the title says. What a folder holds is
    not trained again, so it can be stopped at any time.
    Command: `python -m runs.recipes.nine_panels --seeds 3`; two hours on 2 CPU cores for all nine. Expect critical batch
    sizes between 20 (ResNet-8) and 464 (ResNet-50), all three regimes in most panels, and no curve that fits the LSTM.

    Args:
      out: folder of steps_to_goal.png, effective_rate.png, report.html and a folder of each panel.
      panels: letters of those that are trained where they are missing.
      further: options of `lr-batch curve`.
      quick: the first panel alone, two settings for three steps.
    """
    folder = Path(out)
    for letter in panels[:1] if quick else panels:
        study = [f"{PANELS[letter]}-{SCALE}", "--out", str(folder / PANELS[letter])]
        if lr_batch_command(["curve", *study, *(QUICK if quick else ()), *further]) != 0:
            print(f"panel {letter} is left out; what is finished is kept", file=sys.stderr)
    there = {letter: panel for letter, name in PANELS.items() if (panel := measured(folder / name))}
    steps, rates = folder / "steps_to_goal.png", folder / "effective_rate.png"
    draw_panels(there, PANELS, draw_steps, "Steps to the goal against batch size", steps)
    draw_panels(there, PANELS, draw_rates, "Best effective rate against batch size", rates)
    if there:
        write_page(page_of(there), folder / "report.html")
    return there


def measured(folder: Path) -> Panel | None:
    """What the summary in a panel's folder says; None where the panel is not measured yet."""
    try:
        return panel_of(read_kept(folder / "summary.json"))
    except FileNotFoundError:
        return None


def page_of(there: Mapping[str, Panel]) -> Page:
    """The panels that are there, to point at; each has a page of its own in its folder."""
    charts, said = [], []
    for letter, panel in there.items():
        title = f"({letter}) {panel.workload}, {panel.goal}"
        more = f"More is in {PANELS[letter]}/report.html."
        charts.append(Chart(f"panel-{letter}", title, more, chart_of(panel)))
        said.append((title, *panel.said, f"{panel.trials:,} trials"))
    headings = ("panel", "", "batch size, 90 % interval", "trials")
    return Page(
        title="Steps to the goal against batch size: the panels of Shallue et al. (2019) in small",
        subtitle=f"{len(there)} of {len(PANELS)} panels are measured; networks in small, trained as published",
        advice=[f"{title}: {' '.join(words).strip()}." for title, *words, _ in said],
        charts=charts,
        sections=[("Where larger batches stop to pay", table(headings, said, left=True))],
        about=[("recipe", "python -m runs.recipes.nine_panels")],
    )


def chart_of(panel: Panel) -> Spec:
    """Steps to the goal against batch size, with the curve where it fits."""
    sizes = np.array(panel.batch_sizes)
    batch = np.geomspace(sizes[0] / 2**0.5, sizes[-1] * 2**0.5, 80)
    curve = panel.curve_at(batch)
    data = [] if curve is None else [line("fitted curve", batch, curve, {"color": style.BLUE, "width": 2})]
    at, bars = [size for size, _ in panel.steps], [tuple(estimate) for _, estimate in panel.steps]
    data.append(points("steps to the goal", at, bars, style.BLUE) | {"mode": "markers"})
    low, high = style.positive_span(*bars)
    y_axis = log_axis("optimizer steps to the goal", low / 1.3, high * 1.3)
    return {"data": data, "layout": layout(batch_axis(sizes), y_axis)}


def command(arguments: Sequence[str] | None = None) -> dict[str, Panel]:
    """`main` by words of the command line; those that are not its own go to `lr-batch curve`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", default="nine-panels", help="folder of the figures and studies")
    parser.add_argument(
        "--panels", type=_letters, default=tuple(PANELS), help="letters, such as a,c; default: all"
    )
    options, further = parser.parse_known_args(arguments)
    return main(options.out, options.panels, further)


def _letters(said: str) -> tuple[str, ...]:
    letters = tuple(said.split(","))
    unknown = [letter for letter in letters if letter not in PANELS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PANELS)}")
    return letters


if __name__ == "__main__":
    command()
