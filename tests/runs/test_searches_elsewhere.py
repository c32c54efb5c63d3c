"""Searches whose chunks others train: trials go on in processes that have never seen what they were before."""

from __future__ import annotations

import threading

import pytest
from command_line import command
from handed_out import rows_in
from worker_processes import left_in, worker_processes

import hparam
from hparam.tuning import segments, study_of, tune
from runs.workers import hand_out, sources, worker
from runs.workers.folder import WorkFolder
from runs.workers.hand_out import FolderHandOut
from runs.workers.specification import Sources, Tuned
from runs.workers.worker import Limits, Worker

ASHA = "--search asha --trials 3 --budget 200 --confirm 1 --width 3 --ask 6 --batch-size 8".split()


def test_a_search_is_handed_out_rung_by_rung_and_a_worker_is_killed(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hand_out, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr("runs.tune.outcome.write_outcome", lambda *args: {})
    monkeypatch.setattr("runs.tune.outcome.print_outcome", lambda *args: None)
    words = ("tune", f"{model}:hard", *ASHA)
    assert command(capsys, *words, "--out", tmp_path / "here")[0] == 0
    with worker_processes(tmp_path / "w") as workers:
        for _ in range(3):
            workers.start()
        killed = []
        killer = threading.Thread(target=lambda: killed.append(workers.kill_one_at_work()), daemon=True)
        killer.start()
        code, _, said = command(capsys, *words, "--out", tmp_path / "there", "--workers-dir", tmp_path / "w")
        killer.join(timeout=60)
    assert (code, len(killed)) == (0, 1), said
    rows = rows_in(tmp_path / "there")
    assert rows and rows == rows_in(tmp_path / "here")
    assert left_in(tmp_path / "w") == []


@pytest.mark.usefixtures("quick")
def test_segments_go_on_at_who_has_never_seen_the_ones_before(model, tmp_path, monkeypatch):
    """With what other workers have kept of them, or trained again without it: the losses are those of one process."""
    plan, trained, true_run = searched(model), [], segments.run_segment
    here = tune(plan)

    def noted(engine, device, chunk, *rest):
        trained.append(chunk.id)
        return true_run(engine, device, chunk, *rest)

    monkeypatch.setattr(segments, "run_segment", noted)
    assert_losses(by_strangers(plan, model, tmp_path / "kept"), here)
    assert len(trained) == len(set(trained)) > 3
    trained.clear()
    monkeypatch.setattr(worker.Ends, "load", lambda self, chunk: None)
    assert_losses(by_strangers(plan, model, tmp_path / "again"), here)
    assert len(trained) > len(set(trained))


def searched(model):
    space = hparam.Space({"learning_rate": hparam.log(0.1, 1.0)})
    workload = sources.found("w", sources.described("w", f"{model}:workload"))
    study = study_of(space, {}, workload=workload, optimizer="sgd", batch_sizes=(8,), budget=9)
    return hparam.TuningPlan(study, space, search="successive_halving", trials=3, ask=9, width=3, confirm=1)


def by_strangers(plan, model, path):
    """The search where every chunk is trained by a worker that has trained none before."""
    folder, ended = WorkFolder(path), threading.Event()
    handed = FolderHandOut(folder, Sources(f"{model}:workload", "sgd"), tuned=Tuned(to_goal=False))

    def work():
        while not ended.is_set():
            Worker(folder, Limits(chunks=1, idle=0.0), slots=1).run()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        found = tune(plan, hand_out=handed)
    finally:
        ended.set()
        thread.join()
    handed.end()
    assert left_in(path) == []
    return found


def assert_losses(found, expected):
    assert [told.losses.tolist() for told in found.rounds] == [
        told.losses.tolist() for told in expected.rounds
    ]
    assert [one.fresh.tolist() for one in found.finalists] == [
        one.fresh.tolist() for one in expected.finalists
    ]
