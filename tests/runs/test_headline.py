"""The headline recipe and what recipes of several studies share, on made-up studies."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lr_batch import log_grid
from runs.curve.analysis import analyse
from runs.interrupts import INTERRUPTED
from runs.recipes import headline, resumable
from runs.recipes.made_up_study import made_up_study

SIZES = (4, 16, 64, 256, 1024)


def made_up(name, scale):
    result = made_up_study(
        scale / (1 + 32 / np.array(SIZES)), 1, batch_sizes=SIZES, rates=log_grid(1e-2, 8.0, 14)
    )
    return result._replace(optimizer=name)


SCALE = {"best": 40.0, "low": 30.0, "high": None}


def test_every_number_is_said_beside_the_published_one(tmp_path, capsys, monkeypatch):
    results = {"sgd": made_up("sgd", 1.0), "muon": made_up("muon", 2.0)}
    noise = {"muon": {"batch_size": 64, "scales": {"mean_simple": SCALE, "curved": None, "sign": SCALE}}}
    monkeypatch.setattr(headline, "train", lambda *args: resumable.Trained(results, ()))
    monkeypatch.setattr(headline, "noise_of", lambda *args: noise)
    monkeypatch.setattr(headline, "write_outcome", lambda result, folder: analyse(result))
    answer = headline.main(["--out", str(tmp_path), "--quick"])
    said = capsys.readouterr().out
    for name in results:
        assert f"{name}: critical batch size" in said and f"{name}: best rate =" in said
    assert "published: 201 on MNIST" in said
    assert "muon: noise scales at batch 64: B_simple 40 (30 to infinite), sign-like 40" in said
    assert "critical_batch_size of muon over that of sgd" in said and "no clear difference" in said
    assert json.loads((tmp_path / "headline.json").read_text()) == answer
    assert (tmp_path / "headline.png").stat().st_size > 20_000


def test_what_the_time_cuts_is_named_and_nothing_is_said(tmp_path, capsys, monkeypatch):
    cut = resumable.Trained({"sgd": made_up("sgd", 1.0)}, ("muon: time limit: not looked at",))
    monkeypatch.setattr(headline, "train", lambda *args: cut)
    assert headline.main(["--out", str(tmp_path), "--quick", "--time-limit", "1s"]) is None
    assert capsys.readouterr().out == "muon: time limit: not looked at\n"
    assert list(tmp_path.iterdir()) == []


def test_no_study_is_begun_after_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "run_in_folder", lambda *args, **kwargs: pytest.fail("begun"))
    studies = {"sgd": headline.study_of("sgd", quick=True)}
    trained = resumable.train(studies, tmp_path, resumable.Limit(0.0))
    assert trained == ({}, ("sgd: time limit: not looked at",))
    assert resumable.Limit().left is None and not resumable.Limit().passed


def test_a_signal_ends_it_with_what_is_finished_kept(capsys, monkeypatch):
    def stopped(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(resumable, "use_compilation_cache", lambda: None)
    assert resumable.run_recipe(stopped) == INTERRUPTED
    assert "all that is finished is kept" in capsys.readouterr().err
