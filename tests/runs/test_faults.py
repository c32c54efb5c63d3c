"""The short form of `python -m tests.faults`: no fault is silently wrong, a traceback, a hang or left behind."""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.corruption import damage
from tests.faults.drawn import tried
from tests.faults.jobs import SCALES, Job, Scale, chosen, jobs_of, shard
from tests.faults.outcomes import (
    FAULTS,
    HANG,
    LEFT,
    TRACEBACK,
    WRONG,
    LeftBehind,
    Outcome,
    Wrong,
    judged,
    patience,
)
from tests.faults.table import as_markdown, record, recorded, table


def test_no_fault_of_ours():
    found = dict(tried(jobs_of(Scale(kills=0, files=24, rounds=1, lines=0, calls=0)), seed=1))
    assert [(job, outcome) for job, (outcome,) in found.items() if outcome.kind in FAULTS] == []
    assert len(found) == 28 and set(table(found)) >= {
        "store",
        "checkpoint",
        "cache",
        "document",
        "two studies",
    }


@pytest.mark.parametrize(
    "error, kind",
    [(Wrong("x"), WRONG), (LeftBehind("x"), LEFT), (KeyError("x"), TRACEBACK), (TimeoutError("x"), HANG)],
)
def test_faults_of_ours_are_counted_as_such(error, kind):
    def job():
        raise error

    assert judged(job).kind == kind


def test_what_does_not_end_is_ended():
    with pytest.raises(TimeoutError, match="no end within 1 s"), patience(1):
        time.sleep(60)


def test_damage_is_drawn_again_alike(tmp_path):
    path = tmp_path / "file"

    def damaged(number):
        path.write_bytes(bytes(range(256)) * 64)
        how = damage(path, random.Random(f"store 0 {number}"))
        return how, path.read_bytes() if path.exists() else None

    once = [damaged(number) for number in range(20)]
    assert once == [damaged(number) for number in range(20)]
    assert len({how for how, _ in once}) == 4


def test_full_scale_is_what_was_asked_and_shards_are_all_of_it():
    jobs = jobs_of(SCALES["full"])
    kinds = [(job.kind.partition(" ")[0] if "kill" in job.kind else job.kind, job.size) for job in jobs]
    assert sum(size for kind, size in kinds if kind == "kill") == 200
    assert sum(kind in ("store", "checkpoint", "cache", "document") for kind, _ in kinds) == 500
    assert sum(kind in ("line", "call") for kind, _ in kinds) == 10_000
    shards = [shard(jobs, f"{part}/16") for part in range(1, 17)]
    assert sorted(job for one in shards for job in one) == sorted(jobs)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_classes_and_single_faults_are_chosen_by_name():
    jobs = jobs_of(SCALES["full"])
    assert {job.kind for job in chosen(jobs, ["kill"])} >= {"kill curve", "kill workers", "kill merge"}
    assert chosen(jobs, ["store:17", "clock:3"]) == [Job("store", 17), Job("clock", 3)]
    assert chosen(jobs, []) == jobs
    with pytest.raises(ValueError, match="--only stor: of this scale are kill, "):
        chosen(jobs, ["stor"])
    for text in ("0/4", "5/4", "4", "a/b", "1/0"):
        with pytest.raises(ValueError, match=f"--shard {text}: must look like 3/16"):
            shard(jobs, text)


def test_shards_are_merged_and_what_a_kill_left_half_written_is_none(tmp_path):
    job, other, third = Job("store", 1), Job("kill curve", 0), Job("line", 2)
    ended = [Outcome("ran again"), Outcome("hang", "no end")]
    (tmp_path / "a.jsonl").write_text(record(job, ended[:1], 0) + record(third, ended, 1))
    (tmp_path / "b.jsonl").write_text(record(other, ended, 0) + record(third, ended, 0)[:-9])
    found = recorded(tmp_path, 0)
    assert found == {job: ended[:1], other: ended}
    assert as_markdown(table(found)).splitlines()[2:] == [
        "| store | 1 |  | 1 |  |  |  |",
        "| kill curve | 2 |  | 1 |  |  | 1 |",
    ]
