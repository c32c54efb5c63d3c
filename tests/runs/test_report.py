"""The page: self-contained, honest about what is missing, and safe whatever the names are."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from synthetic_study import analysed_study, synthetic_result

from lr_batch import best_settings
from runs.curve.analysis import analyse
from runs.curve.report import write_report
from runs.curve.report.page import charts_of
from runs.curve.report.scaling import steps_chart
from runs.curve.report.tables import steps_table
from runs.page.page import script_json
from runs.plots.cells import cells, rate_grid

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\"'"


class Page(HTMLParser):
    """Elements, attributes and text of a page, scripts apart."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.links, self.scripts, self.ids, self.text, self._in_script = [], [], [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [
            value
            for name, value in attrs
            if name in {"src", "href", "srcset", "data"} or name.startswith("on")
        ]
        self.ids += [value for name, value in attrs if name == "id"]
        self._in_script = tag == "script"
        self.scripts += [""] * self._in_script

    def handle_endtag(self, tag):
        self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text += data


def written(result, path, **changes):
    outcome = analyse(result)._replace(**changes)
    write_report(result, outcome, path)
    return Page(path.read_text()), outcome.summary


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return *written(synthetic_result(), path, advice="Use 64 & <nothing> else."), path


def unpacked(text: str) -> str:
    return gzip.decompress(base64.b64decode(text)).decode()


def charts(page: Page) -> dict:
    return json.loads(unpacked(page.scripts[0]))["charts"]


def test_one_file_with_plotly_once_and_nothing_from_outside(page):
    parsed, _, path = page
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    assert parsed.links == ["data:,"] and not {"img", "iframe"} & set(parsed.tags)
    assert len(parsed.scripts) == 3 and "plotly.js" in unpacked(parsed.scripts[1])[:200]
    assert path.stat().st_size < 3e6


def test_every_chart_has_its_place(page):
    parsed = page[0]
    names = {"steps", "rate", "heatmap", "training"}
    assert set(charts(parsed)) == names
    assert {*names, *(f"{name}-{part}" for name in names for part in ("svg", "csv"))} < set(parsed.ids)


def test_the_table_has_every_trial(page):
    result = synthetic_result()
    table = json.loads(unpacked(page[0].scripts[0]))["trials"]
    columns = dict(zip(table["columns"], table["values"], strict=True))
    np.testing.assert_array_equal(columns["batch_size"], result.batch_size)
    np.testing.assert_allclose(columns["learning_rate"], result.hparams["learning_rate"], rtol=1e-5)
    assert {"reached", "budget", "outpaced", "diverged"} == set(columns["status"])
    assert "optimizer" not in columns, "what all have in common is listed once"


def test_numbers_of_the_summary_are_in_the_page(page):
    parsed, summary, _ = page
    assert "Use 64 & <nothing> else." in parsed.text
    for row in summary["steps_to_goal"]:
        assert f"{row['steps']:,.0f}" in parsed.text and f"{row['learning_rate']['best']:.3g}" in parsed.text
    critical = summary["critical_batch_size"]
    assert f"{critical['value']:.0f}" in parsed.text
    assert f"{critical['low']:.0f} to {critical['high']:.0f}" in parsed.text
    assert summary["learning_rate_law"]["best"] in parsed.text and summary["engine"]["device"] in parsed.text


def test_pointing_at_a_cell_lists_every_trial_of_it(page):
    result = synthetic_result()
    traces = charts(page[0])["heatmap"]["data"]
    texts = [text for row in traces[0]["text"] for text in row]
    assert sum(text.count("<br>seed ") for text in texts) == result.num_trials
    grid = rate_grid(cells(result))
    seed, steps = 2, result.steps_to_goal
    trial = np.flatnonzero((result.batch_size == 64) & (result.seed == seed) & np.isfinite(steps))[0]
    row = int(np.flatnonzero(grid.rates == result.hparams["learning_rate"][trial])[0])
    text = traces[0]["text"][row][6]
    assert text.startswith(f"batch size 64, rate {grid.rates[row]:.4g}<br>")
    assert f"seed {seed}: reached, {steps[trial]:,.0f} steps" in text
    assert {"outpaced: stopped before its budget", "budget spent", "diverged", "fastest rate"} < {
        t.get("name") for t in traces
    }


def test_points_of_the_charts_are_the_optima(page):
    result = synthetic_result()
    optima = best_settings(result)
    both = charts(page[0])
    steps = next(trace for trace in both["steps"]["data"] if trace["name"] == "median at the best rate")
    np.testing.assert_allclose(steps["y"], [row.steps for row in optima], rtol=1e-4)
    np.testing.assert_allclose(
        np.add(steps["y"], steps["error_y"]["array"]), [row.high for row in optima], rtol=1e-3
    )
    rate = next(trace for trace in both["rate"]["data"] if trace["name"] == "best rate")
    np.testing.assert_allclose(rate["y"], [row.learning_rate.best for row in optima], rtol=1e-4)
    assert len(both["training"]["data"]) == 2 * 4 * 11


def test_names_cannot_break_out_of_the_page(tmp_path):
    result = synthetic_result(batch_sizes=(4, 8, 16, 32), workload=HOSTILE, optimizer=HOSTILE)
    goal = result.goal._replace(metric=HOSTILE)
    hparams = result.hparams | {HOSTILE: np.full(result.num_trials, 0.5)}
    fields = result._asdict() | {"goal": goal, "hparams": hparams}
    parsed, _ = written(type(result)(**fields), tmp_path / "r x….html", advice=HOSTILE)
    assert len(parsed.scripts) == 3 and "img" not in parsed.tags and parsed.links == ["data:,"]
    assert parsed.text.count(HOSTILE) >= 4
    # Plotly shows a subset of HTML in its texts: no tag of a name may reach it as one.
    assert not re.search(r"<(?!br>|extra>|/extra>)", json.dumps(charts(parsed)))


@pytest.mark.parametrize(
    "kind", [{"diverging": True}, {"batch_sizes": (32,)}, {"unreachable": (16, 32), "batch_sizes": (16, 32)}]
)
def test_a_degenerate_study_has_a_page_that_says_why(kind, tmp_path):
    result = synthetic_result(**{"batch_sizes": (8, 16), **kind})
    parsed, _ = written(result, tmp_path / "report.html")
    assert "needs at least 4 batch sizes" in parsed.text and "dashed line" not in parsed.text
    notes = [
        note["text"] for chart in charts(parsed).values() for note in chart["layout"].get("annotations", ())
    ]
    assert any("reached the goal" in note for note in notes) == (not np.isfinite(result.steps_to_goal).any())


def test_without_a_learning_rate_its_charts_are_left_out():
    result = synthetic_result(batch_sizes=(8, 16))
    fixed = type(result)(**result._asdict() | {"hparams": {"momentum": result.hparams["learning_rate"]}})
    assert set(charts_of(fixed, analyse(fixed))) == {"steps", "training"}


@pytest.mark.parametrize(("value", "side"), [(3.0, "left"), (32.0, "center"), (400.0, "right")])
def test_the_critical_batch_size_is_named_above_the_axes_and_inside_them(value, side):
    """Beside its interval there is no room on a phone."""
    result, outcome = analysed_study()
    made = steps_chart(result, outcome._replace(critical=outcome.critical._replace(value=value)))["layout"]
    (name,) = made["annotations"]
    assert (name["xanchor"], name["yanchor"], name["y"]) == (side, "bottom", 1) and 0 <= name["x"] <= 1
    assert made["margin"]["t"] >= 50


def test_script_json_is_strict_and_short():
    value = {
        "a": [np.nan, np.inf, 1.23456789],
        "b": np.arange(2),
        "c": "</script>",
        "d": np.float32(0.5),
        "e": (None,),
    }
    text = script_json(value)
    assert json.loads(text) == {
        "a": [None, None, 1.23457],
        "b": [0, 1],
        "c": "</script>",
        "d": 0.5,
        "e": [None],
    }


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.05, None), "above 0.05"),
        ((None, 0.4), "below 0.4"),
        ((None, None), ""),
        ((0.05, 0.4), "0.05 to 0.4"),
    ],
)
def test_a_best_rate_that_nothing_bounds_is_told_as_such(ends, said):
    """The summary has null where an end is not finite: few seeds, or rates that all reach the goal alike."""
    row = {
        **{"batch_size": 8, "steps": 20.0, "low": 18.0, "high": 22.0, "examples": 160.0, "others": {}},
        "learning_rate": {"best": 0.1, "low": ends[0], "high": ends[1], "edge": None},
        **{"seeds": 1, "seeds_reached": 1},
    }
    assert f"<td>0.1</td><td>{said}</td>" in steps_table([row])
