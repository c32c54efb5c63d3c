"""A study from the command line: its folder, the same command again, `report`, `--add`, what is said at the end."""

import json
import os
import re
import shutil
import sys

import pytest
from command_line import MODEL, command, shell

from runs.kept_json import read_kept
from runs.store import Store

pytestmark = pytest.mark.usefixtures("caches", "here")
SMALL = ["--batch-sizes", "1:16:x2", "--learning-rates", "0.03:3:6", "--seeds", "2"]
NAMED = {
    "summary.json",
    "steps_to_goal.png",
    "steps_to_goal.svg",
    "learning_rate.png",
    "heatmap.png",
    "training_curves.png",
    "report.html",
    "store.sqlite",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder, stdout and stderr of one small study, run with --json."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "my.py").write_text(MODEL)
    patch, out, err = pytest.MonkeyPatch(), folder / "stdout", folder / "stderr"
    with patch.context() as inside, out.open("w") as stdout, err.open("w") as stderr:
        inside.chdir(folder)
        inside.setattr(sys, "stdout", stdout)
        inside.setattr(sys, "stderr", stderr)
        from runs.__main__ import main

        assert main(["curve", "my.py:workload", *SMALL, "--no-extend", "--json", "--out", "study"]) == 0
    return folder / "study", out.read_text(), err.read_text()


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing takes longer than all the rest."""
    monkeypatch.setattr("runs.curve.figures.FIGURES", {})
    monkeypatch.setattr("runs.curve.report.write_report", lambda *args: None)


@pytest.fixture
def study(finished, here):
    """A copy of its folder."""
    return shutil.copytree(finished[0], here / "study")


def test_json_is_alone_on_stdout_and_the_folder_has_everything(finished):
    folder, out, err = finished
    assert json.loads(out) == read_kept(folder / "summary.json")
    assert NAMED <= {path.name for path in folder.iterdir()}
    assert "chunks 10/10, trials 60" in err and "Traceback" not in err


def test_summary_has_every_promised_key(finished):
    summary = json.loads(finished[1])
    top = "workload optimizer goal trials reached diverged budget steps_to_goal critical_batch_size regimes "
    assert set((top + "learning_rate_law engine").split()) <= set(summary)
    assert summary["goal"] == {
        "metric": "loss",
        "below": 0.5,
        "reached": "averaged in log step, time constant 0.3",
    }
    assert summary["trials"] == 60 and summary["budget"] == 200
    assert [row["batch_size"] for row in summary["steps_to_goal"]] == [1, 2, 4, 8, 16]
    for row in summary["steps_to_goal"]:
        assert set("batch_size steps low high examples learning_rate".split()) <= set(row)
        assert set("best low high edge".split()) <= set(row["learning_rate"])
    assert set("value low high s_min e_min sharpness".split()) <= set(summary["critical_batch_size"])
    assert set(summary["regimes"]) == {"perfect_scaling_until", "flat_from"}
    assert set("best exponent low high".split()) <= set(summary["learning_rate_law"])
    engine = "seconds compile_seconds programs_compiled examples device chunk_width trials_per_second"
    assert set(engine.split()) <= set(summary["engine"])
    assert summary["engine"]["examples"] > 0 and summary["engine"]["chunk_width"] == 6


def again(capsys, folder, *more):
    words = ["my.py:workload", *SMALL, "--no-extend", "--json", "--out", folder, *more]
    code, out, err = command(capsys, "curve", *words)
    assert code == 0, err
    return json.loads(out)


def numbers(summary):
    return {name: value for name, value in summary.items() if name != "engine"}


def test_the_same_command_again_trains_nothing(study, finished, capsys, no_figures):
    summary = again(capsys, study)
    assert summary["engine"]["examples"] == summary["engine"]["programs_compiled"] == 0
    assert numbers(summary) == numbers(json.loads(finished[1]))


def test_quiet_leaves_stderr_to_warnings_and_errors(study, capsys, no_figures):
    words = ["curve", "my.py:workload", *SMALL, "--no-extend", "--out", "study"]
    code, out, err = command(capsys, *words)
    assert code == 0 and "finished before" in err
    assert command(capsys, *words, "--quiet") == (0, out, "")
    code, out, err = command(capsys, *words, "--quiet", "--seeds", "3")
    assert code == 2 and out == "" and err.startswith("lr-batch: ") and err.count("\n") == 1


def test_report_draws_the_same_from_the_store(study, finished, capsys):
    for name in NAMED - {"store.sqlite"}:
        (study / name).unlink()
    code, out, err = command(capsys, "report", study)
    assert (code, err) == (0, "")
    assert "critical batch size" in out and max(map(len, out.splitlines())) <= 100
    assert NAMED <= {path.name for path in study.iterdir()}
    kept = read_kept(study / "summary.json")
    assert numbers(kept) == numbers(json.loads(finished[1]))


def test_export_writes_each_trial_once(study, capsys):
    code, out, _ = command(capsys, "export", study, "--out", "trials.json")
    assert (code, out) == (0, "60 trials written to trials.json\n")
    assert len(json.loads((study.parent / "trials.json").read_text())) == 60


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (
            ["--learning-rates", "0.1,0.2"],
            r"learning_rate: .* -> \[0.1, 0.2\]\); extend it \(--add\) or name",
        ),
        (["--batch-sizes", "1,2"], r"batch_sizes: \[1, 2, 4, 8, 16\] -> \[1, 2\]"),
        (["--goal", "loss<0.4"], "holds another study .*name another folder"),
        (["--budget", "100"], "budget: 200 -> 100"),
        (["--no-racing"], "slack: 2.0 -> inf"),
        (["--optimizer", "adam"], "optimizer: sgd -> adam"),
    ],
)
def test_folder_of_another_study_is_refused_with_the_difference(change, shown, study, capsys):
    options = dict(zip(SMALL[::2], SMALL[1::2], strict=True))
    options |= dict([change]) if len(change) == 2 else {}
    flags = [] if len(change) == 2 else change
    words = [word for pair in options.items() for word in pair]
    before = (study / "summary.json").read_bytes()
    code, out, err = command(capsys, "curve", "my.py:workload", *words, *flags, "--no-extend", "--out", study)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(shown, err), err
    assert (study / "summary.json").read_bytes() == before


def test_store_in_use_names_the_process(study, capsys):
    with Store(study):
        code, out, err = command(capsys, "curve", "my.py:workload", *SMALL, "--no-extend", "--out", study)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"in use by pid {os.getpid()} since " in err


@pytest.mark.parametrize("command_words", [["curve", "my.py:workload", "--out"], ["report"]])
def test_store_that_is_none_is_refused_and_left_alone(command_words, study, capsys):
    (study / "store.sqlite").write_bytes(b"garbage" * 100)
    code, out, err = command(capsys, *command_words, study)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "not a store of lr-batch" in err
    assert (study / "store.sqlite").read_bytes() == b"garbage" * 100


@pytest.mark.parametrize("out", ["my.py", "my.py/study", "/proc/study"])
def test_folder_that_cannot_be_made(out, capsys):
    code, _, err = command(capsys, "curve", "my.py:workload", "--out", out)
    assert code == 2 and err.count("\n") == 1
    assert f"{out}: " in err and "a writable folder is needed" in err


@pytest.mark.parametrize("name", ["report", "verify", "export --out x.csv"])
def test_a_folder_without_a_study_says_what_is_there(name, capsys, here):
    (here / "results" / "one").mkdir(parents=True)
    (here / "results" / "one" / "store.sqlite").touch()
    wrong = {
        "nowhere": "nowhere: there is no such folder; name the one that",
        "my.py": "my.py: is no folder",
        ".": r"\.: holds no results of lr-batch, there is no store\.sqlite in it",
        "results": "results: holds no results itself, but folders with some: one$",
    }
    for folder, said in wrong.items():
        command_name, *rest = name.split()
        code, _, err = command(capsys, command_name, folder, *rest)
        assert (code, err.count("\n")) == (2, 1) and re.search(f"^lr-batch: {said}", err.rstrip()), err
    assert not (here / "nowhere").exists()


def added(capsys, study, *words):
    """Summary of the study with another grid in the same folder, and the rows before and after."""
    rows = []
    with Store(study, read_only=True) as store:
        rows.append(store.trial_rows())
    options = ["--no-extend", "--json", "--out", study, "--add", "--seeds", "2"]
    code, out, err = command(capsys, "curve", "my.py:workload", *options, *words)
    assert code == 0, err
    with Store(study, read_only=True) as store:
        rows.append(store.trial_rows())
        assert any("study extended: " in event for event in store.events)
    return json.loads(out), *map(set, rows)


def test_added_batch_size_trains_nothing_else(study, capsys, no_figures):
    summary, old, new = added(capsys, study, "--batch-sizes", "1:32:x2", "--learning-rates", "0.03:3:6")
    assert summary["trials"] == len(new) == 72 and old < new
    assert {row.batch_size for row in new - old} == {32}


def test_added_rates_keep_the_old_rows_and_count_once(study, capsys, no_figures):
    old_rates = "0.03,0.0753566,0.189287,0.475468,1.19432,3"
    summary, old, new = added(capsys, study, "--batch-sizes", "1:16:x2", "--learning-rates", f"{old_rates},6")
    assert summary["trials"] == 70 and old < new
    code, out, err = command(capsys, "report", study)
    assert code == 0, err
    assert read_kept(study / "summary.json")["trials"] == 70


def test_grid_grows_unless_told_not_to(capsys, no_figures):
    edge = ["--batch-sizes", "4:16:x2", "--learning-rates", "0.01,0.02,0.04", "--seeds", "1", "--json"]
    code, grown, _ = command(capsys, "curve", "my.py:workload", *edge, "--out", "grown")
    assert code == 0
    assert any("rates added" in event for event in json.loads(grown)["engine"]["events"])
    code, fixed, _ = command(capsys, "curve", "my.py:workload", *edge, "--no-extend", "--out", "fixed")
    assert json.loads(fixed)["trials"] == 9 < json.loads(grown)["trials"]


def test_without_racing_every_lane_runs_to_its_end(study, capsys, no_figures):
    code, out, err = command(
        capsys, "curve", "my.py:workload", *SMALL, "--no-extend", "--no-racing", "--json", "--out", "patient"
    )
    assert code == 0, err
    with Store(study, read_only=True) as raced, Store("patient", read_only=True) as patient:
        key = lambda trial: (trial.batch_size, trial.seed, tuple(trial.hparams.items()))
        ends = {key(trial): trial for trial in patient.trials()}
        reached = [trial for trial in raced.trials() if trial.steps_to_goal is not None]
        assert reached and all(ends[key(trial)].steps_to_goal == trial.steps_to_goal for trial in reached)
        assert {trial.steps for trial in ends.values() if trial.steps_to_goal is None} == {200}
        assert any(trial.steps < 200 for trial in raced.trials() if trial.steps_to_goal is None)


@pytest.mark.parametrize("diverging", [True, False])
def test_study_in_which_nothing_reaches_the_goal_says_what_to_change(diverging, capsys):
    words = ["my.py:explodes"] if diverging else ["my.py:workload", "--goal", "loss<1e-9"]
    few = ["--batch-sizes", "4,8", "--seeds", "1", "--no-extend", "--learning-rates", "0.1,1,2"]
    code, out, _ = command(capsys, "curve", *words, *few)
    assert code == 0
    said = " ".join(out.split())
    assert ("Every trial diverged: take learning rates below" in said) == diverging
    assert ("No trial reached the goal within 200 steps" in said) == (not diverging)
    assert "needs at least 4 batch sizes that reached the goal, got 0" in said


def test_terminal_that_knows_only_ascii_and_no_colours(study):
    strange = study.rename(study.parent / "größe ✓ a b")
    words = ["curve", f"{study.parent}/my.py:workload", *SMALL, "--no-extend", "--out", f"'{strange}'"]
    ran = shell(f"{sys.executable} -m runs {' '.join(words)}", PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == b"all 60 trials were finished before, none is trained again\n"
    assert ran.stdout.rstrip().endswith(b"gr\\xf6\\xdfe \\u2713 a b")
    assert b"\x1b" not in ran.stdout
