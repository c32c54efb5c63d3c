"""The recipe that measures how busy workers are kept, with chunks that take no time."""

from __future__ import annotations

import json
import sys

from runs.recipes import worker_scaling


def test_chunks_of_sleepers_are_taken_in_and_kept_beside_what_was_there(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_scaling, "MEASURED", ((0.01, 0.02),))
    monkeypatch.setattr(worker_scaling, "STUDIES", 2)
    (tmp_path / "summary.json").write_text(json.dumps({"ray_rows": [{"workers": 2, "efficiency": 0.9}]}))
    typed = ["worker_scaling", "--out", str(tmp_path), "--workers", "2", "--ceiling", "8"]
    monkeypatch.setattr(sys, "argv", typed)
    worker_scaling.main()
    found = json.loads((tmp_path / "summary.json").read_text())
    (row,) = found["rows"]
    assert 0 < row["efficiency"] < 1 and found["ray_rows"][0]["efficiency"] == 0.9
    assert found["ceiling_chunks"] == 8
    assert 0 < found["ceiling_per_second"] < found["ceiling_per_cpu_second"]
    assert (tmp_path / "efficiency.png").stat().st_size > 0
