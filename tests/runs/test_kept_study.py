"""A study that an older version wrote: it is read, reported and resumed, or refused with the reason.

Written by the version before identities were typed, whose goals were reached at the first evaluation, with
`kept_study/linear.py` in the working folder, by
`lr-batch curve linear.py:workload --batch-sizes 4,40 --learning-rates 0.03,0.3,3 --seeds 2 --no-extend --lanes vmap`.
"""

import json
import runpy
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import lr_batch
from runs import Store
from runs.__main__ import main
from runs.curve.run import run_in_folder

KEPT = Path(__file__).parent / "kept_study"
STUDY = "--learning-rates 0.03,0.3,3 --seeds 2 --no-extend --lanes vmap --reached first".split() + [
    "--json",
    "--out",
    "study",
]
COMMAND = ["curve", "linear.py:workload", "--batch-sizes", "4,40", *STUDY]
WRITTEN = {"workload": "linear", "optimizer": "sgd", "budget": 200, "trials": 12, "reached": 4, "diverged": 0}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    shutil.copy(KEPT / "linear.py", tmp_path)
    shutil.copy(KEPT / "store.sqlite", tmp_path / "study")
    return tmp_path


@pytest.fixture
def same_jax(here):
    """The program's hash, and with it the study, differs between versions of JAX."""
    with Store(here / "study", read_only=True) as store:
        written_by = store.description.study["jax"]
    if jax.__version__ != written_by:
        pytest.skip(f"the kept study is of JAX {written_by}")


def study_of_then(here: Path, batch_sizes: tuple[int, ...]) -> lr_batch.Study:
    """The study under the rule of its time: a goal is reached at the first evaluation below it."""
    workload = runpy.run_path(str(here / "linear.py"))["workload"]
    return lr_batch.Study(
        workload=workload,
        batch_sizes=batch_sizes,
        space={"learning_rate": (0.03, 0.3, 3.0)},
        seeds=2,
        extend=False,
        lanes="vmap",
        reached="first",
    )


def test_it_is_read_and_reported(here):
    with Store(here / "study", read_only=True) as store:
        assert len(list(store.trials())) == 12 and store.verify() == []
    assert main(["report", "study"]) == 0
    reported = json.loads((here / "study" / "summary.json").read_text())
    assert reported == reported | WRITTEN and len(reported["steps_to_goal"]) == 2


def test_it_is_read_at_an_easier_goal_by_the_rule_it_was_made_with(here, capsys):
    assert main(["report", "study", "--goal", "loss<0.9"]) == 0
    assert "loss < 0.9 (first evaluation)" in capsys.readouterr().out
    easier = json.loads((here / "study" / "goals" / "loss-0.9" / "summary.json").read_text())
    assert easier["goal"] == {"metric": "loss", "below": 0.9, "reached": "first evaluation"}
    assert easier["reached"] > WRITTEN["reached"]
    assert not (here / "study" / "summary.json").exists()
    assert main(["report", "study", "--goal", "error<0.1"]) == 2
    assert "at_goal: the curves of these trials are of loss < 0.5" in capsys.readouterr().err


@pytest.mark.usefixtures("same_jax")
def test_the_same_study_trains_nothing(here):
    _, stored = run_in_folder(study_of_then(here, (4, 40)), here / "study")
    assert stored.engine.programs_compiled == stored.engine.examples == 0
    assert stored.num_trials == 12 and np.isfinite(stored.steps_to_goal).sum() == 4


@pytest.mark.usefixtures("same_jax")
def test_a_further_batch_size_is_added_to_it(here):
    _, grown = run_in_folder(study_of_then(here, (4, 20, 40)), here / "study", add=True)
    assert grown.engine.examples > 0 and grown.num_trials == 18
    with Store(here / "study", read_only=True) as store:
        assert {trial.batch_size for trial in store.trials()} == {4, 20, 40}


def test_under_another_rule_of_reaching_a_goal_it_is_refused(here, capsys):
    assert main([word for word in COMMAND if word not in ("--reached", "first")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "study: holds another study (" in err and "time_constant: absent -> 0.3" in err


def test_under_another_version_of_jax_it_is_refused(here, capsys, monkeypatch):
    monkeypatch.setattr(jax, "__version__", "0.0.1")
    assert main(COMMAND) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "study: holds another study (" in err and "jax: " in err and "-> 0.0.1" in err
