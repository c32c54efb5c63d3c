"""A study's folder: its name, what it keeps, what is read back from it."""

import dataclasses
import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import lr_batch
from lr_batch import StudyError
from runs.curve import run as folder
from runs.curve.figures import FIGURES
from runs.curve.outcome import write_outcome
from runs.curve.run import (
    run_in_folder,
    stored_result,
    study_folder,
    with_lanes,
)
from runs.store import Store
from tests.runs.store_chunks import filled, make_chunk, make_result

sys.path.insert(0, str(Path(__file__).parents[1] / "lr_batch"))
from tiny import tiny_study, tiny_workload

sys.path.pop(0)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a finished study, and its result."""
    return run_in_folder(tiny_study(), tmp_path_factory.mktemp("ran") / "study")


def test_name_of_the_folder_tells_studies_apart_and_repeats(monkeypatch):
    names = {
        str(study_folder(tiny_study(**changes)))
        for changes in ({}, {"seeds": 3}, {"slack": 3.0}, {"goal": "loss<0.4"}, {"batch_sizes": (1, 4)})
    }
    assert len(names) == 5
    assert str(study_folder(tiny_study())) in names
    assert all(re.fullmatch(r"lr-batch-results/tiny-sgd-[0-9a-f]{8}", name) for name in names)


@pytest.mark.parametrize("name", ["../../up", "a/b\\c", "..", "<b>=1+1</b>", "größe ✓", "x" * 300, "nul\0l"])
def test_name_of_the_workload_cannot_leave_the_folder(name):
    found = study_folder(tiny_study(workload=tiny_workload(name=name)))
    assert found.parent == Path("lr-batch-results") and len(found.name) < 100
    assert re.fullmatch(r"[\w.-]+", found.name) and not found.name.startswith(".")


def test_no_folder_for_what_cannot_be_compiled(tmp_path):
    def broken(hparams):
        raise RuntimeError("mine")

    with pytest.raises(StudyError, match="RuntimeError: mine"):
        run_in_folder(tiny_study(optimizer=broken), tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_what_is_read_back_is_what_was_returned(ran):
    where, result = ran
    stored = stored_result(where)
    for name in ("batch_size", "seed", "steps_to_goal", "steps", "status"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(result, name), err_msg=name)
    np.testing.assert_array_equal(stored.hparams["learning_rate"], result.hparams["learning_rate"])
    assert (stored.workload, stored.optimizer, stored.goal, stored.budget) == result[:4]
    for one, other in zip(stored.curves, result.curves, strict=True):
        np.testing.assert_array_equal(one.steps, other.steps)
        np.testing.assert_array_equal(one.values, other.values)


def test_again_trains_nothing_and_says_so(ran, capsys):
    where, result = ran
    _, same = run_in_folder(tiny_study(), where)
    assert same.engine.examples == 0 < result.engine.examples
    np.testing.assert_array_equal(same.steps_to_goal, result.steps_to_goal)
    assert capsys.readouterr().err == "all 32 trials were finished before, none is trained again\n"


def test_a_folder_without_finished_trials_has_no_report(tmp_path):
    Store(tmp_path / "empty").close()
    with pytest.raises(StudyError, match="empty holds no finished trials yet"):
        stored_result(tmp_path / "empty")


def test_choice_of_lanes_stays_with_the_study(tmp_path, monkeypatch):
    study, choices = dataclasses.replace(tiny_study(), lanes="auto"), iter(("map", "vmap"))
    monkeypatch.setattr(folder, "remembered", lambda key, measure: next(choices))
    for _ in range(2):
        with Store(tmp_path) as store:
            assert with_lanes(study, store).lanes == "map"
    with Store(tmp_path) as store:
        assert with_lanes(dataclasses.replace(study, lanes="vmap"), store).lanes == "vmap"


def test_choice_of_lanes_is_read_off_the_chunks_where_its_event_was_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "remembered", lambda key, measure: "map")
    with Store(tmp_path) as store:
        store.save(make_chunk(), make_result(make_chunk()))
        assert with_lanes(dataclasses.replace(tiny_study(), lanes="auto"), store).lanes == "vmap"


def test_a_folder_whose_trials_are_all_damaged_says_so(tmp_path):
    filled(tmp_path, chunks=2)
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as db:
        db.execute("UPDATE trials SET steps = steps + 1")
        db.commit()
    with pytest.raises(
        StudyError, match="no finished trials yet; left out 8 damaged rows, .*trials row 1 .*, ..."
    ):
        stored_result(tmp_path)


def test_of_repeated_trials_the_longest_counts():
    trial = lr_batch.Trial(8, 0, {"learning_rate": 0.1}, None, "budget", None, 100)
    longer, other = trial._replace(steps=200), trial._replace(seed=1)
    for order in ([trial, longer, other], [longer, trial, other]):
        assert lr_batch.longest_trials(order) == [longer, other]


def test_reason_of_a_refused_fit_is_on_the_figures(ran, tmp_path, monkeypatch):
    monkeypatch.setattr("runs.curve.report.write_report", lambda *args: None)
    result = ran[1]
    few = np.isin(result.batch_size, (1, 4))
    columns = ("batch_size", "seed", "steps_to_goal", "steps", "status")
    part = result._replace(
        **{name: getattr(result, name)[few] for name in columns},
        hparams={"learning_rate": result.hparams["learning_rate"][few]},
        curves=tuple(curve for curve, kept in zip(result.curves, few, strict=True) if kept),
    )
    outcome = write_outcome(part, tmp_path)
    assert outcome.critical is None and outcome.law is None
    for name in ("steps_to_goal", "learning_rate"):
        remarks = [text.get_text() for text in FIGURES[name](part, outcome).axes[0].texts]
        refused = f"no {'critical batch size' if name == 'steps_to_goal' else 'learning-rate law'}: needs at least 4"
        assert any(refused in remark for remark in remarks) and not any("no law" in one for one in remarks)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["critical_batch_size"] is None and len(summary["notes"]) == 2
