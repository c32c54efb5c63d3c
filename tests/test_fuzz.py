"""Drawn command lines and calls end with a result or one line; the long form is `python -m tests.fuzz`."""

import sys

import pytest

from lr_batch import StudyError
from tests.fuzz.__main__ import fuzz

LINES, CALLS = 20, 30


@pytest.mark.wrong_types
def test_drawn_lines_and_calls_end_with_a_result_or_one_line(tmp_path, monkeypatch):
    """Nothing is trained, and there are no folders of results: `report` and the others find none."""

    def refuse(*args):
        raise StudyError("nothing is trained here")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["lr_batch.checks.check"], "_checked", refuse)
    jobs = [*(("line", number) for number in range(LINES)), *(("call", number) for number in range(CALLS))]
    ended = list(fuzz(tmp_path, jobs, 0, (), trained=False))
    assert [(job, shown, outcome) for job, shown, outcome in ended if outcome.fault] == []
    assert {outcome.kind for _, _, outcome in ended} >= {"exit 0", "exit 2", "returned", "refused"}
