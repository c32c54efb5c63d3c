"""The pages of all kinds of folders, made of kept results; and one of them in a real browser, without a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_study import synthetic_result

from hparam import Space, log
from hparam.search import Segment, State, from_settings
from hparam.tuning import Finalist, Told, Tuning, TuningPlan, study_of
from runs.bench.report import parts_chart, peers_chart
from runs.bench.report import write_report as write_bench
from runs.compare.report import charts_of as compare_charts
from runs.curve.analysis import analyse
from runs.curve.report import write_report as write_curve
from runs.curve.report.scaling import steps_chart
from runs.noise.report import scale_chart
from runs.page import Chart, Page, write_page
from runs.page.blocks import layout, linear_axis, points, span_axis
from runs.page.page import data_of
from runs.page.tables import table
from runs.page.trials import rows_of, shown
from runs.plots.cells import cells
from runs.regularize.report import strength_chart
from runs.transfer.report import write_report as write_transfer
from runs.tune.report import charts_of as tune_charts
from runs.tune.report import trial_rows

KEPT = Path(__file__).parents[2] / "runs" / "results"
HOSTILE = "<img src=x onerror=alert(1)>"


def kept(name: str) -> dict:
    return json.loads((KEPT / name).read_text())


def test_bars_of_a_benchmark_are_its_seconds():
    bars = [("engine, cold", 12.0, 11.0, 13.0, "12 s"), ("idiomatic loop", 900.0, 880.0, 940.0, "76x")]
    trace = peers_chart(bars).spec["data"][0]
    assert trace["x"] == [12.0, 900.0] and trace["error_x"]["array"] == [1.0, 40.0]
    shares = parts_chart(kept("bench-digits_mlp-sgd/bench.json")["batch_sizes"]).spec["data"]
    np.testing.assert_allclose(np.sum([trace["y"] for trace in shares], axis=0), 1.0)


def test_pages_without_a_store_are_written(tmp_path):
    write_bench(kept("bench-digits_mlp-sgd/bench.json"), tmp_path)
    assert "idiomatic loop, no race 76x" in (tmp_path / "report.html").read_text()
    write_transfer(kept("transfer/digits_mlp-adam/summary.json"), [], tmp_path)
    assert "muP best rate moves" in (tmp_path / "report.html").read_text()


def test_strengths_are_those_of_the_summary():
    summary = kept("regularize-fashion_mnist_fc-dropout/summary.json")
    spec = strength_chart(summary).spec
    assert spec["layout"]["scattermode"] == "group", "bars of one strength hide each other"
    held_out = spec["data"][0]
    mine = [row for row in summary["strengths"] if row["batch_size"] == summary["strengths"][0]["batch_size"]]
    assert held_out["x"][0] == "off" and held_out["y"].tolist() == [row["held_out"]["best"] for row in mine]


def test_a_noise_scale_without_an_upper_end_has_no_bar_there():
    scale = {"best": 20.0, "low": 10.0, "high": None}
    point = {
        "step": 3,
        "metric": 0.5,
        "average": 0.5,
        "window": scale,
        "curved": None,
        "sign": scale,
        "spectral": scale,
    }
    (window, *_), _ = (part := scale_chart([point]).spec)["data"], part["layout"]
    assert window["y"].tolist() == [20.0] and window["error_y"]["array"].tolist() == [0.0]
    assert window["error_y"]["arrayminus"].tolist() == [10.0]


def test_a_comparison_draws_the_optima_of_each():
    result = synthetic_result(batch_sizes=(4, 16), seeds=2)
    outcomes = [(result._replace(optimizer=name), analyse(result)) for name in ("sgd", HOSTILE)]
    steps, rate = compare_charts(outcomes)
    for trace, (_, outcome) in zip(steps.spec["data"], outcomes, strict=True):
        assert trace["y"].tolist() == [row.steps for row in outcome.optima]
    assert len(rate.spec["data"]) == 2 and "<img" not in json.dumps(steps.spec["data"][1]["text"])


@pytest.fixture(scope="module")
def search() -> Tuning:
    """Four trials, one of them diverged, and two finalists on three fresh seeds; nothing was trained."""
    space = Space({"learning_rate": log(1e-3, 1.0)})
    study = study_of(space, {}, workload="digits_mlp", optimizer="sgd", batch_sizes=(8,), budget=20)
    plan = TuningPlan(study, space, search="random", trials=4, ask=4)
    rates, losses = [0.001, 0.01, 0.1, 1.0], [0.9, 0.4, 0.2, np.inf]
    proposal = from_settings(space, {"learning_rate": np.array(rates)})
    state = State(
        {i: Segment((rate,), loss=loss) for i, (rate, loss) in enumerate(zip(rates, losses, strict=True))}
    )
    finalists = tuple(
        Finalist({"learning_rate": rate}, loss, loss + np.array([0.01, 0.02, 0.03]))
        for rate, loss in ((0.1, 0.2), (0.01, 0.4))
    )
    return Tuning(plan, (Told(proposal, np.array(losses), 80),), state, finalists, 80)


def test_a_search_has_every_trial_with_its_loss(search):
    rows = trial_rows(search)
    assert [row["loss"] for row in rows[:4]] == [0.9, 0.4, 0.2, np.inf] and len(rows) == 4 + 6
    assert {row["seed"] for row in rows[4:]} == {1, 2, 3} and rows[3]["status"] == "diverged"
    best, against = tune_charts(search, rows)
    np.testing.assert_allclose(best.spec["data"][1]["y"], [0.9, 0.4, 0.2, 0.2])
    alive, diverged = against.spec["data"]
    np.testing.assert_allclose(alive["x"], [0, 1 / 3, 2 / 3], atol=1e-9)
    assert len(diverged["x"]) == 1 and "learning_rate 0.1" in alive["text"][2]


def test_columns_that_tell_nothing_are_left_out():
    rows = [
        {"batch_size": 8, "seed": 0, "status": "x", "hparam.lr": lr, "version.jax": "1", "same": 2}
        for lr in (1, 2)
    ]
    assert shown(rows) == [{"batch_size": 8, "seed": 0, "status": "x", "lr": lr} for lr in (1, 2)]


def test_ten_thousand_trials_fit_and_names_stay_text(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {
            "batch_size": 2 ** (i % 11),
            "seed": i % 4,
            "lr": float(rate),
            "status": HOSTILE,
            "steps": int(1e6 * loss),
        }
        for i, (rate, loss) in enumerate(rng.random((10_000, 2)))
    ]
    chart = Chart(
        "x", HOSTILE, HOSTILE, {"data": [], "layout": layout(span_axis("", [1, 2]), linear_axis("", 0, 1))}
    )
    page = Page(
        HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), charts=(chart,), rows=rows, about=((HOSTILE, HOSTILE),)
    )
    write_page(page, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert HOSTILE not in text and len(text) < 3e6


@pytest.fixture(scope="module")
def browser():
    """Chromium: of the system, else of Playwright; skipped where there is neither."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as running:
        if not (found or Path(running.chromium.executable_path).exists()):
            pytest.skip("there is no Chromium")
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A page of three figures, a table and the trials of a small study."""
    rows = shown(rows_of(synthetic_result(batch_sizes=(8, 64), seeds=2)))
    bars = [(1.0, 0.5, 1.5), None, (3.0, 2.0, None)]
    axes = span_axis("x", [1, 100]), linear_axis("y", 0, 4)
    figure = {"data": [points('line, "quoted"', [1, 10, 100], bars, "#0072B2")], "layout": layout(*axes)}
    small = synthetic_result(batch_sizes=(4, 16, 64, 256), seeds=2)
    charts = [Chart("one", "First", "A caption.", figure), Chart("two", "Second", "Another.", figure)]
    charts += [Chart("steps", "Third", "Of a study.", steps_chart(small, analyse(small)))]
    sections = [("A table", table(("size", "steps"), [(8, 3)]))]
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(
        Page("A study", "of few trials", ("Use 64.",), charts=charts, sections=sections, rows=rows), path
    )
    return path


@pytest.fixture
def opened(browser, written):
    """The page at a width and in a colour scheme, without a network; it must have nothing to complain of."""
    contexts, complaints = [], []

    def open_page(width: int = 1280, scheme: str = "light"):
        contexts.append(
            browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        )
        page = contexts[-1].new_page()
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith("http") and complaints.append(asked.url))
        page.goto(written.as_uri())
        page.wait_for_selector("html[data-ready=yes]", timeout=120_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def test_in_a_browser_the_table_sorts_filters_and_downloads(opened):
    page = opened()
    rows = lambda: page.locator("#trials tbody tr").all_inner_texts()
    assert page.locator("#trials-count").inner_text() == "64 of 64"
    page.fill("#trials-filter", "batch_size>=64 status=diverged")
    assert 0 < len(rows()) < 32 and all(row.startswith("64\t") and "diverged" in row for row in rows())
    page.fill("#trials-filter", "reached")
    page.locator("#trials th button", has_text="steps_to_goal").press("Enter")
    at = page.locator("#trials th").all_inner_texts().index("steps_to_goal")
    steps = [float(row.split("\t")[at]) for row in rows()]
    assert len(steps) > 2 and steps == sorted(steps)
    assert page.locator('th[aria-sort="ascending"]').inner_text() == "steps_to_goal"
    with page.expect_download() as saved:
        page.click("#trials-csv")
    lines = Path(saved.value.path()).read_text().splitlines()
    assert len(lines) == len(steps) + 1 and lines[0].startswith("batch_size,seed,learning_rate,status")


def test_in_a_browser_a_point_says_what_it_is_and_figures_are_saved(opened):
    page = opened()
    box = page.locator("#one .points path").nth(1).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#one .hoverlayer text")
    assert 'line, "quoted", 100: 3' in page.locator("#one .hoverlayer").text_content()
    with page.expect_download() as saved:
        page.click("#one-csv")
    assert Path(saved.value.path()).read_text().splitlines()[:2] == [
        "series,x,y,below,above,text",
        '"line, ""quoted""",1,1,0.5,0.5,"line, ""quoted"", 1: 1 [0.5, 1.5]"',
    ]
    with page.expect_download() as saved:
        page.click("#one-svg")
    svg = Path(saved.value.path()).read_text()
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")


def test_in_a_browser_a_figure_zooms_where_the_pointer_drags_and_back_at_a_double_click(opened):
    page = opened()
    seen = lambda: page.evaluate(
        "['xaxis', 'yaxis'].map((name) => document.getElementById('one')._fullLayout[name].range.map(Number))"
    )
    whole, box = seen(), page.locator("#one .nsewdrag").bounding_box()
    at = lambda across, up: (box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"])
    page.mouse.move(*at(0.25, 0.5))
    page.mouse.down()
    page.mouse.move(*at(0.75, 0.9), steps=4)
    page.mouse.up()
    page.wait_for_selector("#one .zoomlayer path", state="detached")
    (left, right), (low, high) = whole
    inside = [[left + share * (right - left) for share in (0.25, 0.75)]]
    inside += [[low + share * (high - low) for share in (0.5, 0.9)]]
    assert np.allclose(seen(), inside, atol=0.02 * max(right - left, high - low))
    page.mouse.dblclick(*at(0.5, 0.5))
    left_again = "(left) => document.getElementById('one')._fullLayout.xaxis.range[0] === left"
    page.wait_for_function(left_again, arg=left)
    assert seen() == whole


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_a_phone_shows_all_of_it(scheme, opened):
    page = opened(390, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.locator("#two svg.main-svg").count() > 0
    drawn = page.evaluate("document.getElementById('one')._fullLayout.paper_bgcolor")
    assert (drawn == "white") == (scheme == "light")


CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parts = (text) => (/rgba?\\(([^)]+)\\)/.exec(text)?.[1] ?? "0,0,0,0").split(",").map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const opaque = ([, , , a = 1]) => a > 0.99;
  function ground(element) {
    for (; element; element = element.parentElement) {
      const colour = parts(getComputedStyle(element).backgroundColor);
      if (opaque(colour)) return colour;
    }
    return [255, 255, 255];
  }
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const shown = element.getClientRects().length && !element.closest("script, style, noscript");
    if (!own || !shown || element.closest(".colorbar, .hoverlayer")) continue;
    const drawn = element instanceof SVGElement, style = getComputedStyle(element);
    const pair = [light(parts(drawn ? style.fill : style.color)), light(ground(element))].sort((a, b) => a - b);
    found.push([(pair[1] + 0.05) / (pair[0] + 0.05), element.textContent.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_every_text_stands_out_from_its_ground(scheme, opened):
    """4.5 to 1, level AA of WCAG 2.2 for text of any size; of figures too."""
    found = opened(1280, scheme).evaluate(CONTRAST)
    assert len(found) > 100 and {"optimizer steps to the goal", "A study", "Use 64."} <= {
        text for _, text in found
    }
    assert [pair for pair in found if pair[0] < 4.5] == []


def test_in_a_browser_the_keyboard_reaches_everything_and_shows_where_it_is(opened):
    page, reached = opened(), []
    for _ in range(60):
        page.keyboard.press("Tab")
        said = "e => [e.id || e.textContent, getComputedStyle(e).outlineStyle, e.className]"
        reached.append(page.evaluate(f"({said})(document.activeElement)"))
        if reached[-1][0] == "trials-more" or reached[-1][2] is None:
            break
    names = [name for name, *_ in reached]
    wanted = ["one-svg", "one-csv", "steps-svg", "trials-filter", "trials-csv", "batch_size", "status"]
    assert [name for name in wanted if name not in names] == [] and names.index("one-svg") < names.index(
        "one-csv"
    )
    assert {outline for name, outline, _ in reached if name in wanted} <= {"auto", "solid"}


def test_in_a_browser_figures_and_tables_say_in_words_what_they_are(opened):
    page = opened()
    for chart in page.locator(".chart").all():
        assert chart.get_attribute("role") == "img" and len(chart.get_attribute("aria-label")) > 10
    for scrolls in page.locator(".scroll").all():
        assert scrolls.get_attribute("tabindex") == "0" and scrolls.get_attribute("aria-label")
    assert page.evaluate("document.documentElement.lang") == "en" and page.locator("main h1").count() == 1


def default_study():
    return synthetic_result()


def ten_thousand_trials():
    return synthetic_result(seeds=57)


@pytest.mark.parametrize(("make", "megabytes"), [(default_study, 3), (ten_thousand_trials, 8)])
def test_in_a_browser_the_first_figure_answers_within_two_seconds(make, megabytes, browser, tmp_path):
    """Seconds of the processor on the main thread, since other work of a machine must not decide; then it stops.

    With `-s` it says after how many seconds of a clock, which on an idle machine are the same or a little more.
    """
    result = make()
    outcome = analyse(synthetic_result(seeds=2))._replace(cells=cells(result))
    write_curve(result, outcome, path := tmp_path / "report.html")
    assert path.stat().st_size < megabytes * 1e6
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    processor = page.context.new_cdp_session(page)
    processor.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.add_init_script(
        "performance.mark = () => {"
        " document.documentElement.dataset.figure = performance.now(); throw Error('enough'); }"
    )
    page.goto(path.as_uri(), wait_until="commit", timeout=240_000)
    page.wait_for_selector("html[data-figure]", timeout=240_000)
    metrics = {one["name"]: one["value"] for one in processor.send("Performance.getMetrics")["metrics"]}
    drawn = page.locator("#steps .points path").count()
    seconds = float(page.locator("html").get_attribute("data-figure") or "nan") / 1000
    print(
        f"{make.__name__}: {seconds:.2f} s to the first figure, of the processor {metrics['ThreadTime']:.2f}"
    )
    page.close()
    assert drawn > 10 and 0.1 < metrics["ThreadTime"] < 2.0 and seconds > 0.1, metrics


def test_data_of_a_page_without_trials_has_no_table():
    assert data_of(Page("", "", ()))["trials"] is None
