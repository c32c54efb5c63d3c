"""`lr-batch regularize` from the command line, and the recipes about regularization."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

import reg
from lr_batch import BestStrength, Estimate, Goal
from lr_batch.engine import Chunk
from runs.__main__ import DONE, USAGE, main
from runs.kept_json import read_kept
from runs.recipes import lagrangian, ridge
from runs.regularize.array_store import ArrayStore
from runs.regularize.outcome import interval_text, level_text, sentence
from tests.runs.store_chunks import IDENTITY

PNG = b"\x89PNG"
ARGUMENTS = [
    "regularize",
    "digits_mlp",
    "--batch-sizes",
    "64",
    "--learning-rates",
    "0.1,0.5",
    "--seeds",
    "2",
    "--epochs",
    "0.5",
]


def test_sweeps_reports_draws_and_resumes(tmp_path, capsys):
    command = [*ARGUMENTS, "--regularizer", "l1", "--strengths", "1e-3,1e-2", "--out", str(tmp_path)]
    assert main([*command, "--json"]) == DONE
    summary = json.loads(capsys.readouterr().out)
    assert summary == read_kept(tmp_path / "summary.json")
    assert summary["trials"] == 12 and [row["strength"] for row in summary["strengths"]] == [0, 0.001, 0.01]
    assert summary["strengths"][2]["sparsity"] > 0 == summary["strengths"][0]["sparsity"]
    for row in summary["strengths"]:
        assert row["held_out"]["low"] < row["held_out"]["best"] < row["held_out"]["high"]
        assert row["gap"]["best"] == pytest.approx(row["held_out"]["best"] - row["train"]["best"], abs=1e-6)
    for name in ("strengths", "weights", "training", "confidence"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == PNG

    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "chunks").iterdir()}
    assert main(command) == DONE
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "chunks").iterdir()}
    assert "Batch size 64: best l1" in capsys.readouterr().out


def test_sentence_says_so_where_nothing_is_better_than_off():
    study = SimpleNamespace(regularizer=reg.REGULARIZERS["dropout"], goal=Goal("error", 0.1))
    fits = SimpleNamespace(study=study, regularizer=study.regularizer)
    gain = Estimate(0.02, 0.01, 0.03)
    off = sentence(fits, BestStrength(64, best=0.0, low=0.0, high=0.5, gain=Estimate(0.0, 0.0, 0.0)))
    assert (
        off == "Batch size 64: best dropout off; off to 0.5 cannot be told from it. No strength does better."
    )
    some = sentence(fits, BestStrength(64, best=0.3, low=0.3, high=0.3, gain=gain))
    assert some == (
        "Batch size 64: best dropout 0.3. Held-out error falls by 0.02 ± 0.01 against none, where each seed takes "
        "the setting that is best on the other seeds: helps."
    )
    worse = sentence(fits, BestStrength(64, best=0.3, low=0.3, high=0.3, gain=Estimate(-0.02, -0.03, -0.01)))
    assert "Held-out error rises by 0.02 ± 0.01 against none" in worse and worse.endswith("seeds: harms.")
    study.goal = Goal("accuracy", 0.9, above=True)
    for change, moved in (
        (gain, "rises by 0.02 ± 0.01"),
        (Estimate(-0.02, -0.03, -0.01), "falls by 0.02 ± 0.01"),
    ):
        said = sentence(fits, BestStrength(64, best=0.3, low=0.3, high=0.3, gain=change))
        assert f"Held-out accuracy {moved} against none" in said


def test_levels_are_told_with_both_ends_and_differences_with_half_their_interval():
    assert level_text(Estimate(0.1, 0.05, 0.2)) == "0.1 (0.05 to 0.2)"
    assert level_text(Estimate(0.1, 0.05, 0.2), ends=False) == "0.1"
    assert level_text(Estimate(np.inf, np.inf, np.inf)) == "diverged"
    assert interval_text(Estimate(0.02, 0.01, 0.03)) == "0.02 ± 0.01"


def test_a_damaged_chunk_counts_as_absent(tmp_path):
    store, chunk = ArrayStore(tmp_path), Chunk(IDENTITY, 8, 0, ({"learning_rate": 0.1},))
    assert store.load(chunk) is None
    store.save(chunk, {"train.loss": np.arange(300.0)})
    np.testing.assert_array_equal(store.load(chunk)["train.loss"], np.arange(300.0))
    (file,) = (tmp_path / "chunks").iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:-100], whole[:700] + b"x" + whole[701:], b"not an archive"):
        file.write_bytes(damaged)
        assert store.load(chunk) is None


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--regularizer", "l_2"], "did you mean 'l2'"),
        (["--regularizer", "dropout", "--strengths", "1.5"], "dropout: dropout must be in [0, 1), got 1.5"),
        (["--regularizer", "l2", "--strengths=-1"], "l2: l2 must be in [0, inf), got -1"),
        (["--seeds", "1"], "--seeds: needs at least 2"),
        (["--set", "l1_ratio"], "--set: must look like"),
        (
            ["--set", "weight_decay=0.1", "--strengths", "0.2"],
            "--strengths and --set weight_decay are the same",
        ),
        (["--epochs", "0"], "epochs must be above 0"),
        (["--metric", "accuracy"], "error, loss"),
    ],
)
def test_wrong_input_gets_one_line(arguments, message, tmp_path, capsys):
    assert main(["regularize", "--out", str(tmp_path), *arguments]) == USAGE
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-1] and error[-1].startswith("lr-batch: ")


def test_ridge_by_descent_meets_the_closed_form(tmp_path):
    out = tmp_path / "ridge.png"
    plain, wide = ridge.main(str(out), quick=True).values()
    assert out.read_bytes()[:4] == PNG
    assert plain.distance < 1e-6 and wide.distance < 1e-6
    assert plain.without and not wide.without  # more features than examples: no solution without lambda
    assert np.isfinite(wide.closed).all() and (np.diff(wide.condition) < 0).all()


def test_penalty_and_constraint_trace_the_same_path(tmp_path):
    out = tmp_path / "lagrangian.png"
    results = lagrangian.main(str(out), quick=True)
    assert out.read_bytes()[:4] == PNG
    for result in results.values():
        assert result.distance < 1e-6
        assert (np.diff(result.complexity) < 0).all() and (np.diff(result.loss[0]) > 0).all()
    sparse = results["l1"]
    assert ((sparse.penalised == 0) == (sparse.constrained == 0)).all() and (sparse.penalised == 0).any()
