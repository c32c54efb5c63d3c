"""Batches that grow, on the command line."""

import json

import pytest
from command_line import MODEL, command

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
