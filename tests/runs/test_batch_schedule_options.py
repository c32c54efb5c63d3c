"""Batches that grow, on the command line."""

import json

import numpy as np
import pytest
from command_line import MODEL, command
from synthetic_study import synthetic_result

from lr_batch import BatchSchedule, Result, best_settings
from runs.compare.rank import rank
from runs.curve.advice import advice
from runs.curve.analysis import analyse
from runs.curve.report.tables import critical_cards
from runs.curve.table import _fitted_lines
from runs.page.trials import counts, rows_of

pytestmark = pytest.mark.usefixtures("unrendered")

SMALL = "curve my.py:workload --batch-sizes 4,8 --learning-rates 0.3,1,3 --seeds 2 --no-extend --goal loss<0.6".split()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "my.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_batches_that_grow_are_told_kept_and_counted(capsys):
    words = [*SMALL, "--batch-schedule", "x2@3,x4@6", "--out", "o"]
    code, out, err = command(capsys, *words)
    assert code == 0 and "tiny with sgd, batch x2@3,x4@6" in out, err
    code, out, err = command(capsys, *words, "--json")
    assert code == 0 and "none is trained again" in err
    assert json.loads(out)["batch_schedule"] == "x2@3,x4@6"
    first = json.loads(out)["steps_to_goal"][0]
    steps, size = first["steps"], first["batch_size"]
    table = [(0, size), (3, 2 * size), (6, 4 * size)]
    ends = [3, 6, float("inf")]
    expected = sum(
        max(0.0, min(steps, end) - start) * of for (start, of), end in zip(table, ends, strict=True)
    )
    assert first["examples"] == pytest.approx(expected)
    code, _, err = command(capsys, *SMALL, "--out", "o")
    assert code == 2 and "batch_schedule" in err
    assert command(capsys, "report", "o")[0] == 0 and command(capsys, "export", "o", "--out", "t.csv")[0] == 0


@pytest.mark.parametrize("given", ["x2", "x2@soon", "x2@5,x4@5", "x1000@5"])
def test_a_wrong_batch_schedule_is_one_line(capsys, given):
    code, out, err = command(capsys, *SMALL, "--batch-schedule", given)
    assert (code, out) == (2, "") and err.count("\n") == 1 and "batch_schedule" in err


@pytest.fixture
def growing() -> Result:
    """32 examples at each step, and 64 from step 100 on: 64 n - 3,200 of n steps."""
    schedule = BatchSchedule.read([[100, "steps", 2.0, False]])
    return Result(**synthetic_result((32,), s_min=200.0)._asdict() | {"batch_schedule": schedule})


def test_the_advice_counts_the_examples_of_batches_that_grow(growing):
    (best,) = best_settings(growing)
    assert best.steps and best.steps > 100 and best.examples == pytest.approx(64 * best.steps - 3200)
    assert f" steps, {best.examples:,.0f} " in advice(growing, [best], None, None)


def test_what_is_counted_in_first_batch_sizes_is_not_told_as_examples(growing):
    sizes = {"batch_sizes": (8, 16, 32, 64, 128), "s_min": 200.0}
    alike = synthetic_result(**sizes)
    for result, told in ((alike, True), (alike._replace(batch_schedule=growing.batch_schedule), False)):
        outcome = analyse(result)
        assert outcome.critical and ("times the fewest examples" in outcome.advice) == told
        assert any(line.startswith("fewest examples") for line in _fitted_lines(outcome.critical)) == told
        assert ("fewest examples" in critical_cards(outcome.critical, None)) == told


def test_studies_are_ranked_by_the_examples_of_batches_that_grow(growing, tmp_path):
    outcome = analyse(growing)
    (row,) = rank([(growing, outcome)], "examples", [tmp_path]).rows
    assert row.cost.best == pytest.approx(outcome.optima[0].examples)


def test_a_page_counts_the_examples_of_batches_that_grow(growing):
    told = dict(counts(rows_of(growing)))
    wanted = np.where(growing.steps > 100, 64 * growing.steps - 3200, 32 * growing.steps)
    assert told["training examples"] == wanted.sum() and told["optimizer steps"] == growing.steps.sum()
