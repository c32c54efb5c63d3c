"""Figures: what is drawn is what was measured, for ordinary, broken and hostile studies alike."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from drawn import changed, overlaps, unfitted, without_fits, written
from matplotlib.collections import LineCollection, PolyCollection
from synthetic_study import BATCH_SIZES, RATES, analysed_study, synthetic_result

from lr_batch import best_settings
from runs.compare.figures import compare_rates, compare_steps
from runs.curve.analysis import analyse
from runs.curve.figures import (
    heatmap,
    learning_rate,
    steps_to_goal,
    training_curves,
)
from runs.curve.figures.learning_rate import lowest_diverged
from runs.curve.figures.training_curves import fastest_curves, seed_band, until_goal
from runs.curve.law_words import exponents_text
from runs.plots import style
from runs.plots.cells import (
    BUDGET_CELL,
    DIVERGED_CELL,
    NOT_RUN,
    OUTPACED_CELL,
    REACHED_CELL,
    cells,
    rate_grid,
)

HOSTILE = "<b>$x_1^{$ & _co_ \\frac</b>\n" + "long " * 40


@pytest.fixture(scope="module")
def study():
    return analysed_study()


def draw_all(result, outcome, folder):
    both = [(result, outcome), (result, without_fits(outcome))]
    return [
        steps_to_goal(result, outcome, folder / "steps_to_goal.png"),
        learning_rate(result, outcome, folder / "learning_rate.png"),
        heatmap(result, outcome, folder / "heatmap.png"),
        training_curves(result, outcome, folder / "training_curves.png"),
        compare_steps(both, folder / "compare_steps.png"),
        compare_rates(both, folder / "compare_rates.png"),
    ]


def test_every_figure_is_a_png_of_print_size_and_steps_to_goal_also_svg(study, tmp_path):
    draw_all(*study, tmp_path)
    pngs = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(pngs) == 6
    for path in tmp_path.glob("*.png"):
        header = path.read_bytes()[:24]
        assert header.startswith(b"\x89PNG") and int.from_bytes(header[16:20], "big") >= 7 * 150
    assert ElementTree.parse(tmp_path / "steps_to_goal.svg").getroot().tag.endswith("svg")
    assert len(list(tmp_path.iterdir())) == 7  # no temporary file is left behind


def test_equal_studies_give_equal_bytes(study, tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        steps_to_goal(*study, folder / "steps.png")
    for name in ("steps.png", "steps.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.usefixtures("unrendered")
def test_nothing_written_overlaps(study, tmp_path):
    for figure in draw_all(*study, tmp_path):
        assert overlaps(figure) == []


def test_steps_to_goal_draws_the_measured_points_and_the_fit(study):
    result, outcome = study
    critical = outcome.critical
    axes = steps_to_goal(result, outcome).axes[0]
    (bars,) = axes.containers
    batch, steps = bars.lines[0].get_data()
    np.testing.assert_array_equal(batch, BATCH_SIZES)
    np.testing.assert_allclose(steps, [row.steps for row in critical.optima])
    segments = bars.lines[2][0].get_segments()
    np.testing.assert_allclose(
        [s[:, 1] for s in segments], [(row.low, row.high) for row in critical.optima], rtol=1e-6
    )
    vertical = [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert vertical[0].get_xdata()[0] == critical.value
    assert f"critical batch size {style.count(critical.value)}" in written(axes.figure)
    assert list(axes.get_xticks()) == list(BATCH_SIZES)


def test_guides_are_the_asymptotes_of_the_fit(study):
    result, outcome = study
    critical, lines = outcome.critical, steps_to_goal(result, outcome).axes[0].lines
    guides = {
        tuple(np.round(line.get_xdata() * line.get_ydata() / critical.e_min, 9))
        for line in lines
        if len(line.get_xdata()) == 200
    }
    assert {(1.0,) * 200} <= guides
    assert any(
        np.allclose(line.get_ydata(), critical.s_min) for line in lines if len(line.get_xdata()) == 200
    )


def test_an_unreached_batch_size_is_an_arrow_at_its_bound():
    result = synthetic_result(unreachable=(1, 2))
    figure = steps_to_goal(result, analyse(result))
    arrows = next(line for line in figure.axes[0].lines if line.get_marker() == "^")
    np.testing.assert_array_equal(arrows.get_xdata(), [1, 2])
    assert arrows.get_ydata().min() >= result.budget
    assert "goal not reached" in written(figure)


def test_rates_at_the_edge_of_the_grid_are_hollow():
    result = synthetic_result(rates=np.geomspace(1e-3, 0.3, 12))
    optima = best_settings(result)
    flagged = [row.batch_size for row in optima if row.edge == "high"]
    containers = learning_rate(result, unfitted(result)).axes[0].containers
    hollow = [bars.lines[0] for bars in containers if bars.lines[0].get_markerfacecolor() == "white"]
    assert flagged and list(hollow[0].get_xdata()) == flagged


def test_law_and_its_exponent_are_shown(study):
    result, outcome = study
    law, figure = outcome.law, learning_rate(result, outcome)
    assert f"law: {law.winner.formula}" in written(figure) and law.words in written(figure)
    assert exponents_text(law) in written(figure)
    line = next(line for line in figure.axes[0].lines if line.get_label().startswith("law"))
    np.testing.assert_allclose(line.get_ydata(), law.rate(line.get_xdata()))


def test_laws_that_cannot_be_told_apart_are_all_named(study):
    result, outcome = study
    several = outcome.law._replace(laws=outcome.law.ranking[:4])
    figure = learning_rate(result, outcome._replace(law=several))
    assert len(several.words) > 110 and several.words in written(figure).replace("\n", " ")
    assert overlaps(figure) == []


def test_cells_are_medians_over_seeds_with_failures_infinite():
    result = synthetic_result(batch_sizes=(4, 64), budget=3000)
    table = cells(result)
    for b, batch in enumerate(table.batch_sizes):
        for s, rate in enumerate(table.settings["learning_rate"]):
            rows = (result.batch_size == batch) & (result.hparams["learning_rate"] == rate)
            steps = np.where(np.isnan(result.steps_to_goal[rows]), np.inf, result.steps_to_goal[rows])
            assert table.steps[b, s] == np.median(steps)
            assert (table.outcome[b, s] == REACHED_CELL) == np.isfinite(table.steps[b, s])


def test_outcomes_tell_race_budget_and_divergence_apart():
    result = synthetic_result(batch_sizes=(1, 64), unreachable=(1,))
    grid = rate_grid(cells(result))
    assert set(grid.outcome[:, 0]) == {BUDGET_CELL, DIVERGED_CELL}
    assert set(grid.outcome[:, 1]) == {REACHED_CELL, OUTPACED_CELL, DIVERGED_CELL}
    assert np.isnan(lowest_diverged(grid)[0]) or grid.outcome[:, 0].max() == DIVERGED_CELL
    first = lowest_diverged(grid)[1]
    assert (
        result.status[(result.batch_size == 64) & (result.hparams["learning_rate"] == first)]
        .tolist()
        .count("diverged")
        >= 2
    )


def test_a_rate_tried_at_one_batch_size_only_is_not_run_at_the_others():
    kept = synthetic_result(batch_sizes=(4, 64))
    mask = (kept.batch_size == 4) | (kept.hparams["learning_rate"] > RATES[0])
    columns = {"batch_size", "seed", "steps_to_goal", "steps", "status"}
    result = changed(
        kept,
        **{name: getattr(kept, name)[mask] for name in columns},
        hparams={"learning_rate": kept.hparams["learning_rate"][mask]},
        curves=tuple(curve for curve, keep in zip(kept.curves, mask, strict=True) if keep),
    )
    assert rate_grid(cells(result)).outcome[0].tolist() == [OUTPACED_CELL, NOT_RUN]
    drawn = heatmap(result, unfitted(result))
    assert "not measured" in [text.get_text() for text in drawn.legends[0].get_texts()]
    left_out = [
        part for part in learning_rate(result, unfitted(result)).axes[0].collections if part.get_paths()
    ]
    assert [len(part.get_paths()) for part in left_out if isinstance(part, PolyCollection)] == [1]


def test_many_rates_are_pooled_into_rows():
    result = synthetic_result(batch_sizes=(8, 16), rates=np.geomspace(1e-3, 4, 90), seeds=1)
    grid = rate_grid(cells(result))
    assert len(grid.rates) < 60 and (grid.outcome < NOT_RUN).all()
    assert grid.steps.min() == np.nanmin(result.steps_to_goal)


def test_other_hyperparameters_are_at_their_best_in_the_heatmap():
    slow, fast = synthetic_result(s_min=120.0, batch_sizes=(8, 32)), synthetic_result(batch_sizes=(8, 32))
    both = {
        name: np.concatenate([getattr(slow, name), getattr(fast, name)])
        for name in ("batch_size", "seed", "steps_to_goal", "steps", "status")
    }
    momentum = np.repeat([0.0, 0.9], slow.num_trials)
    rate = np.concatenate([slow.hparams["learning_rate"], fast.hparams["learning_rate"]])
    result = changed(
        slow, **both, hparams={"learning_rate": rate, "momentum": momentum}, curves=slow.curves + fast.curves
    )
    np.testing.assert_array_equal(rate_grid(cells(result)).steps, rate_grid(cells(fast)).steps)
    assert {entry.setting["momentum"] for entry in fastest_curves(result, cells(result))} == {0.9}
    for draw in (heatmap, training_curves, steps_to_goal, learning_rate):
        assert overlaps(draw(result, unfitted(result))) == []


def test_training_curves_are_those_of_the_fastest_cell(study):
    result, outcome = study
    table = outcome.cells
    for b, entry in enumerate(fastest_curves(result, table)):
        assert np.median(entry.steps_to_goal) == table.steps[b].min()
        assert entry.seeds == (0, 1, 2, 3)
        assert all(curve.steps.min() > 0 for curve in entry.curves)
    panels = training_curves(result, outcome).axes
    steps, examples = (lines_in(axes) for axes in panels)
    assert len(steps) == len(examples) == 11, "a line for each batch size, whatever the number of seeds"
    np.testing.assert_array_equal(steps[-1][:, 0] * 1024, examples[-1][:, 0])
    bands = [shape for shape in panels[0].collections if isinstance(shape, PolyCollection)]
    assert len(bands) == 11
    assert min(line[:, 1].min() for line in steps) > panels[0].get_ylim()[0] > result.goal.threshold / 3


def lines_in(axes):
    (lines,) = (shape for shape in axes.collections if isinstance(shape, LineCollection))
    return lines.get_segments()


def test_band_holds_every_seed_until_it_has_reached_the_goal(study):
    for entry in fastest_curves(*study[:1], study[1].cells):
        steps, low, high = seed_band(entry)
        assert (np.diff(steps) > 0).all() and (low <= high).all()
        for curve, end in zip(entry.averages, entry.steps_to_goal, strict=True):
            steps_shown, values = until_goal(curve, end)
            at = np.searchsorted(steps, steps_shown)
            assert (low[at] <= values + 1e-9).all() and (values <= high[at] + 1e-9).all()


DEGENERATE = {
    "everything diverged": {"diverging": True, "batch_sizes": (8, 16, 32)},
    "nothing reached": {"unreachable": (8, 16), "batch_sizes": (8, 16)},
    "one batch size": {"batch_sizes": (32,)},
    "one rate": {"rates": np.array([0.05]), "batch_sizes": (16, 32)},
    "one seed, two batch sizes": {"seeds": 1, "batch_sizes": (1, 55_000)},
    "budget of one step": {"budget": 1, "batch_sizes": (8, 16)},
}


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("kind", DEGENERATE)
def test_a_degenerate_study_is_drawn_and_says_what_is_missing(kind, tmp_path):
    result = synthetic_result(**DEGENERATE[kind])
    figures = draw_all(result, unfitted(result), tmp_path)
    assert "too few batch sizes" in written(figures[0])
    for figure in figures:
        assert overlaps(figure) == []
    if not (result.status == "reached").any():
        for figure in figures[1:]:
            assert re.search("reached the goal|nearest to the goal|every trial diverged", written(figure))


def test_where_nothing_reached_the_goal_lines_are_of_what_ended_nearest():
    result = synthetic_result(unreachable=(8, 16), batch_sizes=(8, 16))
    ends = np.array([curve.values[-1] for curve in result.curves])
    found = fastest_curves(result, cells(result))
    assert [entry.batch_size for entry in found] == [8, 16]
    for entry in found:
        rates = result.hparams["learning_rate"]
        medians = {
            rate: np.median(ends[(result.batch_size == entry.batch_size) & (rates == rate)])
            for rate in set(rates)
        }
        assert entry.setting["learning_rate"] == min(medians, key=medians.get)
    assert "that ended nearest to the goal" in written(training_curves(result, unfitted(result)))


def test_a_study_without_a_learning_rate_says_so(tmp_path):
    result = synthetic_result(batch_sizes=(8, 16, 32))
    result = changed(result, hparams={"momentum": result.hparams["learning_rate"]})
    outcome = unfitted(result)
    assert "not varied" in written(learning_rate(result, outcome))
    assert "not varied" in written(heatmap(result, outcome))
    steps_to_goal(result, outcome)
    training_curves(result, outcome, tmp_path / "curves.png")


@pytest.mark.parametrize("name", [HOSTILE, "_hidden $ a\\$b", "模型 $"])
def test_names_are_never_read_as_formulas(name, tmp_path):
    result = synthetic_result(batch_sizes=(8, 16), workload=name, optimizer=name)
    result = changed(result, goal=result.goal._replace(metric=name))
    for figure in draw_all(result, unfitted(result), tmp_path):
        assert overlaps(figure) == []
    assert style.plain("a$b_c") == r"a\$b_c"


def test_labels_of_crowded_batch_sizes_are_thinned():
    labels = style.spaced_labels(range(1, 101), np.linspace(0, 1, 101)[1:])
    shown = [int(label) for label in labels if label]
    assert shown[0] == 1 and 10 < len(shown) < 60


def test_intervals_without_an_end_are_drawn(study, tmp_path):
    result, outcome = study
    open_ended = [row._replace(high=np.inf) for row in outcome.optima]
    critical = outcome.critical._replace(high=np.inf)
    endless = outcome._replace(optima=open_ended, critical=critical)
    assert np.isfinite(steps_to_goal(result, endless).axes[0].get_ylim()).all()
    draw_all(result, endless, tmp_path)
    bars = style.bars(np.array([2.0]), np.array([1.0]), np.array([np.inf]))
    assert np.isfinite(bars).all() and bars[1, 0] > 1e6


@pytest.mark.parametrize(("value", "low", "high"), [(40.0, 1.5, 900.0), (20.0, 5.0, 800.0)])
def test_the_name_of_a_critical_batch_size_stays_inside_the_axes(value, low, high):
    """A wide interval leaves no room beside it."""
    result, outcome = analysed_study()
    wide = outcome.critical._replace(value=value, low=low, high=high, reliable=False)
    figure = steps_to_goal(result, outcome._replace(critical=wide))
    figure.canvas.draw()
    (axes,) = [one for one in figure.axes if one.texts]
    (name,) = [text for text in axes.texts if text.get_text().startswith("critical batch size")]
    inside, at = axes.get_window_extent(), name.get_window_extent()
    assert inside.x0 <= at.x0 and at.x1 <= inside.x1
