"""Processes that train chunks: the same rows as in one process, whatever dies."""

from __future__ import annotations

import threading

import pytest
from command_line import command
from handed_out import STUDY, rows_in
from worker_processes import left_in, worker_processes

from runs.workers import hand_out


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_third_of_the_workers_is_killed(model, tmp_path, capsys, kills, monkeypatch):
    """SIGKILL while they hold a chunk: the rows are those of one process, bit for bit, and nothing is left behind."""
    monkeypatch.setattr(hand_out, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr("runs.curve.figures.FIGURES", {})  # they take longer than the training
    monkeypatch.setattr("runs.curve.report.write_report", lambda *args: None)
    study = ("curve", f"{model}:hard", *STUDY)
    assert command(capsys, *study, "--out", tmp_path / "here")[0] == 0
    with worker_processes(tmp_path / "w") as workers:
        for _ in range(3 * kills):
            workers.start()
        killed = []
        killer = threading.Thread(
            target=lambda: killed.extend(workers.kill_one_at_work() for _ in range(kills)), daemon=True
        )
        killer.start()
        there = (*study, "--out", tmp_path / "there", "--workers-dir", tmp_path / "w")
        code, _, said = command(capsys, *there)
        killer.join(timeout=60)
    assert (code, len(killed)) == (0, kills), said
    assert said.count("handed out again, its worker died") >= 1, said
    assert rows_in(tmp_path / "there") == rows_in(tmp_path / "here")
    assert left_in(tmp_path / "w") == []


def test_what_is_typed_wrongly_is_one_line(model, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    wrong = {
        ("curve", "--allow-mixed"): "--allow-mixed: is for studies that others train",
        ("curve", "--allow-mixed", "--optimizer", "adam"): "give --workers-dir or --ray too",
        ("curve", "--workers-dir", f"{tmp_path}/full"): "holds a, no chunks for workers",
        ("worker", f"{tmp_path}/w", "--slots", "0"): "--slots: must be at least 1, got 0",
        ("worker", f"{tmp_path}/w", "--time-limit", "soon"): "--time-limit: must look like 30m",
        ("worker", f"{tmp_path}/w", "--idle="): "--idle: must look like 30m",
    }
    for typed, line in wrong.items():
        code, _, said = command(capsys, *typed)
        assert (code, said.count("\n")) == (2, 1) and line in said, said
