"""The short form of `python -m tests.faults`: no fault is silently wrong, a traceback, a hang or left behind."""

from __future__ import annotations

import random

import pytest

from tests.faults.__main__ import drawn, table
from tests.faults.corruption import damage
from tests.faults.outcomes import FAULTS, LEFT, TRACEBACK, WRONG, LeftBehind, Wrong, judged


def test_no_fault_of_ours():
    found = list(drawn(files=24, rounds=1, seed=1))
    assert [(job, outcome) for job, outcome in found if outcome.kind in FAULTS] == []
    assert len(found) == 28 and set(table(found)) >= {
        "store",
        "checkpoint",
        "cache",
        "document",
        "two studies",
    }


@pytest.mark.parametrize(
    "error, kind", [(Wrong("x"), WRONG), (LeftBehind("x"), LEFT), (KeyError("x"), TRACEBACK)]
)
def test_faults_of_ours_are_counted_as_such(error, kind):
    def job():
        raise error

    assert judged(job).kind == kind


def test_damage_is_drawn_again_alike(tmp_path):
    path = tmp_path / "file"

    def damaged(number):
        path.write_bytes(bytes(range(256)) * 64)
        how = damage(path, random.Random(f"store 0 {number}"))
        return how, path.read_bytes() if path.exists() else None

    once = [damaged(number) for number in range(20)]
    assert once == [damaged(number) for number in range(20)]
    assert len({how for how, _ in once}) == 4
