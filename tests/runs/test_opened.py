"""A stored study in Python, and stored studies beside each other."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from synthetic_study import synthetic_result

import runs
from lr_batch import Study, StudyError
from runs.__main__ import DONE, USAGE, main

NOTEBOOK = Path(runs.__file__).parent / "recipes" / "notebooks" / "own_model_to_advice.py"
README = Path(runs.__file__).parents[1] / "README.md"
COMMAND = "curve digits_mlp --batch-sizes 64:512:x2 --learning-rates 0.1:2:4 --no-extend".split()


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    made = [tmp_path_factory.mktemp("studies") / name for name in ("first", "second")]
    for path, seeds in zip(made, ("0,1", "2,3"), strict=True):
        assert main([*COMMAND, "--goal", "loss<0.5", "--seeds", seeds, "--out", str(path)]) == DONE
    return made


def test_a_folder_is_opened_with_what_the_report_says(folders):
    opened = runs.open(folders[0])
    assert (
        opened.analysis.summary["advice"] == json.loads((folders[0] / "summary.json").read_text())["advice"]
    )
    assert opened.figure("heatmap")._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="must be one of steps_to_goal"):
        opened.figure("heat")


def test_two_studies_are_drawn_into_one_figure_of_the_users(folders, tmp_path):
    first, second = map(runs.open, folders)
    figure = Figure(figsize=(11, 12), layout="constrained")
    grid = figure.subplots(3, 2)
    names = ("steps_to_goal", "learning_rate", "heatmap")
    for column, opened in enumerate((first, second)):
        for axes, name in zip(grid[:, column], names, strict=True):
            assert opened.draw(name, axes) is axes
            assert axes.get_title(loc="left") == "digits_mlp · sgd"
            assert len(axes.legend(fontsize=7).get_texts()) >= 2
    figure.savefig(tmp_path / "both.png")
    for axes, opened in zip(grid[0], (first, second), strict=True):
        steps = [row.steps for row in opened.analysis.optima]
        np.testing.assert_array_equal(axes.containers[0].lines[0].get_ydata(), steps)
    assert figure.axes == list(grid.ravel()) and not figure.legends and not figure.texts


def test_the_readme_draws_two_studies_into_one_figure(folders, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "plt.subplots" in block)
    for name, folder in zip(("DIR-2", "DIR"), folders[::-1], strict=True):
        block = block.replace(f"lr-batch-results/{name}", str(folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    exec(block, {})
    assert (tmp_path / "both.pdf").read_bytes().startswith(b"%PDF")


def test_what_an_own_figure_shows_is_what_the_figure_shows(folders):
    opened = runs.open(folders[0])
    for name, panels in (("steps_to_goal", 1), ("heatmap", 1), ("training_curves", 2), ("goals", 1)):
        given = Figure(figsize=(8, 5)).subplots(1, panels, squeeze=False)[0]
        opened.draw(name, given)
        for mine, theirs in zip(given, opened.figure(name).axes, strict=True):
            assert mine.dataLim.bounds == theirs.dataLim.bounds and mine.get_xlim() == theirs.get_xlim()
            labels = [axes.get_legend_handles_labels()[1] for axes in (mine, theirs)]
            assert labels[0] == labels[1] and mine.get_xlabel() == theirs.get_xlabel()


def test_axes_that_do_not_fit_are_refused(folders):
    opened, axes = runs.open(folders[0]), Figure().subplots(1, 3)
    for wrong, name, said in (
        (axes, "training_curves", "training_curves has 2 panels, give as many axes, got 3"),
        (axes, "heatmap", "heatmap has one panel"),
        ("axes", "heatmap", "must be matplotlib axes"),
        (axes[0], "protocols", "must be one of steps_to_goal"),
    ):
        with pytest.raises(ValueError, match=said):
            opened.draw(name, wrong)


def test_a_result_is_short_and_a_table(folders):
    result = runs.open(folders[0]).result
    assert repr(result).startswith("Result(digits_mlp with sgd, loss < 0.5: ") and len(repr(result)) < 200
    assert result._repr_html_().count("<tr>") == 1 + 4
    table = result.to_arrow()
    assert table.num_rows == result.num_trials and "hparam.learning_rate" in table.column_names
    np.testing.assert_array_equal(table["steps"].to_numpy(), result.steps)


def test_html_of_a_hostile_name_is_text(folders):
    result = runs.open(folders[0]).result._replace(workload="<script>alert(1)</script>")
    assert "<script>" not in result._repr_html_()


def test_a_result_becomes_a_data_frame(folders):
    pandas = pytest.importorskip("pandas")
    result = runs.open(folders[0]).result
    assert isinstance(result.to_pandas(), pandas.DataFrame) and len(result.to_pandas()) == result.num_trials


def test_stored_studies_are_compared_without_training(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("runs.curve.run.run", lambda *args, **kwargs: pytest.fail("trained"))
    assert main(["compare", *map(str, folders), "--out", str(tmp_path)]) == DONE
    said = capsys.readouterr().out
    assert "sgd (first)" in said and "sgd (second)" in said
    assert (tmp_path / "compare_steps.png").exists()
    assert main(["report", str(tmp_path)]) == DONE


def test_a_study_in_python_is_kept_with_its_report_and_goes_on(folders, tmp_path):
    first = runs.open(folders[0])
    space = {"learning_rate": sorted(set(first.result.hparams["learning_rate"].tolist()))}
    study = Study("digits_mlp", batch_sizes=(64,), space=space, seeds=(0, 1), goal="loss<0.5", extend=False)
    opened = runs.run(study, tmp_path / "own")
    assert opened.folder == tmp_path / "own" and (tmp_path / "own" / "report.html").exists()
    mine = first.result.batch_size == 64
    np.testing.assert_allclose(opened.result.steps_to_goal, first.result.steps_to_goal[mine], rtol=1e-4)
    assert html.escape(opened.analysis.advice) in opened._repr_html_() and len(repr(opened)) < 2000


def test_what_is_read_off_is_short(folders):
    analysis = runs.open(folders[0]).analysis
    assert repr(analysis.critical).startswith("CriticalBatchSize(") and len(repr(analysis.critical)) < 120
    assert repr(analysis) == f"Analysis({analysis.advice})"
    (first, *_) = analysis.optima
    assert repr(first).startswith(f"Optimum(batch size {first.batch_size}: ") and len(repr(first)) < 120
    assert repr(analysis.law).startswith("LearningRateLaw(") and len(repr(analysis.law)) < 400


def test_the_notebook_goes_from_an_own_model_to_advice(tmp_path):
    """As a script in a fresh folder; the slowest test here, since it is a whole study in a process of its own."""
    cells = re.split(r"^# %%(.*)$", NOTEBOOK.read_text(), flags=re.MULTILINE)[1:]
    kinds, texts = cells[::2], cells[1::2]
    prose = [text for kind, text in zip(kinds, texts, strict=True) if "[markdown]" in kind]
    assert len(prose) >= 5 and len(texts) >= 12
    assert all(line.startswith("#") for text in prose for line in text.split("\n") if line)
    done = subprocess.run(
        [sys.executable, NOTEBOOK],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(NOTEBOOK.parents[3])},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert (
        "Train my_digits with sgd at batch size" in done.stdout and "trials reached the goal" in done.stdout
    )
    assert float(done.stdout.split()[-1]) < 0.4 and (tmp_path / "my-digits" / "report.html").exists()


def test_what_cannot_be_compared_is_said(folders, tmp_path, capsys):
    other = tmp_path / "other"
    assert main([*COMMAND, "--goal", "loss<0.6", "--seeds", "2", "--out", str(other)]) == DONE
    for arguments, said in (
        ([str(folders[0]), str(other)], "only studies of one workload, goal and rule"),
        ([*map(str, folders), "--optimizers", "sgd,adam"], "only --by, --out, --json and --quiet"),
        ([*map(str, folders), "--seeds", "8"], "only --by, --out, --json and --quiet"),
    ):
        assert main(["compare", *arguments, "--out", str(tmp_path / "out")]) == USAGE
        assert said in capsys.readouterr().err
    assert main(["compare", str(folders[0]), str(tmp_path / "nothing")]) != DONE
    assert main(["compare", *map(str, folders), "--out", str(tmp_path / "both")]) == DONE
    with pytest.raises(ValueError, match="holds results of lr-batch compare; its studies are"):
        runs.open(tmp_path / "both")


@pytest.mark.parametrize("by", ["steps", "seconds", "memory"])
def test_stored_studies_are_ranked(folders, tmp_path, capsys, by):
    words = ["compare", *map(str, folders), "--by", by, "--out", str(tmp_path / "out"), "--json"]
    assert main(words) == DONE
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    costs = [row["cost"]["best"] for row in ranking["rows"]]
    assert ranking["by"] == by and costs == sorted(costs) and costs[0] > 0
    assert any("seeds are NOT equal" in line for line in ranking["conditions"])
    assert "settings tried at a batch size: 4 for all" in ranking["conditions"]


def test_time_of_a_step_is_that_of_the_chunks_over_the_steps_of_their_trials(folders):
    from runs.compare.rank import seconds_per_step
    from runs.store import Store

    with Store(folders[0], read_only=True) as store:
        seconds = sum(chunk.seconds for chunk in store.chunks() if chunk.batch_size == 64)
        steps = sum(row.steps for row in store.trial_rows() if row.batch_size == 64)
    found = seconds_per_step(folders[0])
    assert sorted(found) == [64, 128, 256, 512] and found[64] == pytest.approx(seconds / steps)


def test_studies_of_one_optimizer_in_folders_of_one_name_are_told_apart(tmp_path, monkeypatch):
    from runs.compare import run

    folders = [str(tmp_path / name / "sgd") for name in ("first", "second")]
    stored = SimpleNamespace(result=synthetic_result(), analysis=None)
    monkeypatch.setattr(run, "open_folder", lambda folder: stored)
    _, outcomes = run.opened_folders(folders, tmp_path / "both")
    assert [result.optimizer for result, _ in outcomes] == [f"sgd ({folder})" for folder in folders]
    with pytest.raises(StudyError, match="is named twice"):
        run.opened_folders([folders[0], folders[0]], tmp_path / "twice")
