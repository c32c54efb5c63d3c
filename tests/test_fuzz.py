"""Drawn command lines and calls end with a result or one line; the long form is `python -m tests.fuzz`."""

import pytest

from tests.fuzz.__main__ import fuzz

LINES, CALLS = 6, 25


@pytest.mark.wrong_types
def test_drawn_lines_and_calls_end_with_a_result_or_one_line(tmp_path, monkeypatch):
    """Without folders of results, whose lines take longer: here `report` and the others find none."""
    monkeypatch.chdir(tmp_path)
    jobs = [*(("line", number) for number in range(LINES)), *(("call", number) for number in range(CALLS))]
    ended = list(fuzz(tmp_path, jobs, 0, ()))
    assert [(job, shown, outcome) for job, shown, outcome in ended if outcome.fault] == []
    assert {outcome.kind for _, _, outcome in ended} >= {"exit 0", "exit 2", "returned", "refused"}
