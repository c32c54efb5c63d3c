"""The command line as a stranger meets it: what is wrong gets one line, what is right its folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from command_line import MODEL, ROOT, command

import runs.curve.run
from runs.store import Store

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


@pytest.fixture(scope="module", autouse=True)
def caches(tmp_path_factory):
    """Nothing is read from or left in the home of who runs the tests; `conftest` has set JAX's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("programs")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(MODEL)
    return tmp_path


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


RATES = r"must look like 0\.1,0\.3 or LOW:HIGH:NUM such as 1e-3:4:16"
SIZES = r"must look like 1,2,8 or LOW:HIGH:xFACTOR"
WRONG = {
    "--learning-rates 0": r"sgd: learning_rate must be in \(0, inf\), got 0\.0",
    "--learning-rates -1": r"sgd: learning_rate must be in \(0, inf\), got -1\.0",
    "--learning-rates nan": "learning_rate must be finite, got nan",
    "--learning-rates inf": "learning_rate must be finite, got inf",
    "--learning-rates abc": f"--learning-rates: {RATES}",
    "--learning-rates 0.1,,0.2": f"--learning-rates: {RATES}",
    "--learning-rates=": f"--learning-rates: {RATES}",
    "--learning-rates 0:1:4": "0 < low < high, got low=0",
    "--learning-rates 1:0.1:4": "0 < low < high, got low=1",
    "--learning-rates 0.1:nan:4": "bounds must be finite",
    "--learning-rates 0.1:1:1": "num must be a whole number >= 2, got 1",
    "--learning-rates 0.1:1:2.5": f"^lr-batch: --learning-rates: {RATES}",
    "--learning-rates 0.1:1:10000000": "10,000,000 values are more than 100,000",
    "--learning-rates 0.1:1:1000 --seeds 1000": "11,000,000 trials .*31 hours",
    "--optimizer momentum --set momentum=1": r"momentum must be in \[0, 1\), got 1\.0",
    "--optimizer momentum --set momentum=-0.1": r"momentum must be in \[0, 1\), got -0\.1",
    "--optimizer momentum --set momentum=nan": "momentum must be finite, got nan",
    "--optimizer momentum --set momentum=x": f"--set momentum: {RATES}",
    "--optimizer momentum --set momentum": "--set: must look like momentum=0.9",
    "--optimizer momentum --set momentun=0.5": "unknown hyperparameter of momentum 'momentun'; did you mean",
    "--optimizer momentum --set momentum=0.5 --set momentum=0.9": "momentum is given twice",
    "--learning-rates 0.1 --set learning_rate=0.5": "give one",
    "--optimizer adam --set b2=1.5": r"adam: b2 must be in \[0, 1\), got 1\.5",
    "--optimizer adam --set eps=0": r"adam: eps must be in \(0, inf\), got 0\.0",
    "--optimizer adamw --set weight_decay=-1": r"weight_decay must be in \[0, inf\), got -1\.0",
    "--batch-sizes 0": "batch_sizes must be a whole number >= 1, got 0",
    "--batch-sizes -1": "batch_sizes must be a whole number >= 1, got -1",
    "--batch-sizes 1.5": f"--batch-sizes: {SIZES}",
    "--batch-sizes=": f"--batch-sizes: {SIZES}",
    "--batch-sizes 1:8:2": f"--batch-sizes: {SIZES}",
    "--batch-sizes 1:8:xx2": f"--batch-sizes: {SIZES}",
    "--batch-sizes 8:1:x2": "needs 1 <= LOW <= HIGH and FACTOR >= 2",
    "--batch-sizes 1:8:x1": "needs 1 <= LOW <= HIGH and FACTOR >= 2",
    "--batch-sizes 1401": r"batch size 1401 is larger than the training data \(1,400 examples\)",
    "--seeds 0": "seeds must be a whole number >= 1, got 0",
    "--seeds 1.5": "^lr-batch: --seeds: must be a whole number, got '1.5'$",
    "--seeds 2 --seeds=3": "--seeds is given twice",
    "--budget 0": "budget must be a whole number from 1 to 1,000,000,000, got 0",
    "--budget 1e15": "budget must be a whole number from 1 to 1,000,000,000",
    "--budget many": "^lr-batch: --budget: must be a whole number, got 'many'$",
    "--goal loss": "goal: must look like 'loss<0.2'",
    "--goal loss>0.2": "held-out loss is 2.4.* before .*: the goal loss > 0.2 is met already; .* 'loss < 0.2'",
    "--goal loss<nan": "threshold must be a finite number",
    "--goal los<0.2": r"unknown goal metric 'los'; did you mean 'loss'\? \(known: error, loss\)",
    "digit_mlp": "unknown workload 'digit_mlp'; did you mean 'digits_mlp'.*known: digits_cnn,",
    "--optimizer sgdd": "unknown optimizer 'sgdd'; did you mean 'sgd'.*known: adagrad",
    "--optimiser adam": r"curve has no option --optimiser; did you mean --optimizer\?$",
    "--batch-size 4": r"did you mean --batch-sizes\?$",
    "--no-extnd": r"did you mean --no-extend\?$",
    "--lanes vmop": "invalid choice 'vmop' for argument '--lanes'",
    "digits_mlp more": "Unrecognized options: more",
    "not_there.py:workload": "there is no file 'not_there.py'",
    "my.py": "must be a registered name or look like FILE.py:NAME",
    "my.py:wrkload": "'my.py' has no 'wrkload'; did you mean 'workload'",
    "my.py:seven": "workload must be a name, a Workload or a function that makes one, got int",
    "my.py:wants": r"calling wants\(\) failed: TypeError",
    "my.py:scalar": r"loss must return one value for each example, .*got \(\); return the values before",
    "my.py:whole": "loss must return floating-point numbers, got int32",
    "my.py:raises": "the model with its loss failed: ZeroDivisionError: division by zero",
    "my.py:numpy_loss": "the model with its loss failed: TracerArrayConversionError",
    "my.py:workload --optimizer my.py:nope": "'my.py' has no 'nope'",
    "my.py:workload --optimizer my.py:seven": "optimizer must be a name or a function .* got int",
    "my.py:workload --optimizer my.py:broken": r"cannot be built: RuntimeError: my .* broken \(my.py, line \d+\)$",
    "my.py:workload --optimizer my.py:no_such_name": r"'lr' \(my.py, line \d+\); searched are learning_rate",
}


@pytest.mark.wrong_types
@pytest.mark.parametrize("words", WRONG)
def test_wrong_input_is_one_line_before_anything_runs(words, capsys, here, monkeypatch):
    monkeypatch.setattr(runs.curve.run, "run", lambda *args, **options: pytest.fail("this is run"))
    code, out, err = command(capsys, "curve", *words.split())
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and err.startswith("lr-batch: ")
    assert re.search(WRONG[words], err.rstrip("\n")), err
    assert {path.name for path in here.iterdir()} <= {"my.py", "__pycache__"}


# What a file names stands for the same in every command: one line, the same one.
THINGS = {
    "my.py:seven": "workload must be a name, a Workload or a function that makes one, got int",
    "my.py:wants": r"workload: calling wants\(\) failed: TypeError: wants\(\) missing 1 required",
    "my.py:leaves": r"workload: calling leaves\(\) failed: SystemExit: 3",
    "my.py:make_seven": "workload must be a name, a Workload or a function that makes one, got int",
    "digits_mlp --optimizer my.py:seven": "optimizer must be a name or a function .*, got int",
    "digits_mlp --optimizer my.py:transformation": "optimizer must be .*, got GradientTr.*; wrap it as",
    "digits_mlp --optimizer my.py:strange": "optimizer strange: its attribute eval_params must be a callable, got 3",
}


@pytest.mark.wrong_types
@pytest.mark.parametrize("name", ["curve", "tune", "regularize"])
@pytest.mark.parametrize("words", THINGS)
def test_what_a_file_names_is_one_line_in_every_command(name, words, capsys, here):
    code, out, err = command(capsys, name, *words.split())
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and re.search(f"^lr-batch: {THINGS[words]}", err), err


TRANSFERRED = {
    "my.py:seven": "my.py:seven must be a function with an argument called width that makes a Workload; got int",
    "my.py:wants": "must be a function with an argument called width that makes a Workload; it takes argument",
    "my.py:wide": r"workload: calling wide\(\) failed: RuntimeError: too wide \(my.py, line \d+\)$",
    "my.py:seven_wide": "workload must be a name, a Workload or a function that makes one, got int",
    "digits_mlp --optimizer my.py:seven": "optimizer must be a name or a function .*, got int",
    "digits_mlp --optimizer my.py:make": "mup: step_kind must be sgd or adam, got None for the optimizer make",
}


@pytest.mark.wrong_types
@pytest.mark.parametrize("words", TRANSFERRED)
def test_what_a_file_names_is_one_line_in_transfer_too(words, capsys, here):
    code, out, err = command(capsys, "transfer", *words.split())
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and re.search(TRANSFERRED[words], err.rstrip("\n")), err


COMMANDS = {
    "curv": "unknown command 'curv'; did you mean 'curve'",
    "--foo": "--foo is no command; begin with one of check, ",
    "tune --schedule cosine": "tune has no option --schedule; it is one of curve, transfer$",
    "curve --config x": "--config: x cannot be read: .*No such file",
    "curve --conf x": "curve has no option --conf; did you mean --config",
    "curve --workload digits_mlp": "curve has no option --workload",
    "tune --ask 1e9": "ask must be from 1 to 100,000, got 1,000,000,000$",
    "tune --trials 1e15 --ask 1e15": "trials must be from 1 to 1,000,000, got 1,000,000,000,000,000$",
    "tune --width 1e9": "width must be from 1 to 4,096",
    "tune --confirm 1e9": "confirm must be from 0 to 10,000",
    "tune --seed 1e9": "seed must be from 0 to 2,000,000",
    "tune --search hyperband --option eta=x": "hyperband's eta must be a whole number, got 'x'",
    "tune --search hyperband --option eta=true": "hyperband's eta must be a whole number, got True",
    "tune --option explore=x": "bayes's explore must be a number, got 'x'",
    "tune --search optuna --option sampler=3": "optuna.*",
    "tune --no-confirm": "tune has no option --no-confirm; did you mean --confirm",
    "list optimisers": "invalid choice 'optimisers'",
    "list optimizers --memory digits": "unknown workload 'digits'; did you mean 'digits_",
    "compare --optimizers sgd": "needs two or more different names, got 'sgd'",
    "compare --optimizers sgd,sgd": "needs two or more different names",
    "compare --optimizers sgd,admm": "unknown optimizer 'admm'; did you mean 'adam'",
    "compare --optimizer adam": r"did you mean --optimizers\?$",
    "data prepare nope --from .": "unknown data set 'nope'; known: fashion_mnist",
    "data prepare mnist": "Missing from lr-batch data: --from DIR",
    "export . --out x.xyz": "format must be one of csv, json, parquet, got 'xyz'",
    "report": "Missing from lr-batch report: DIR",
}


@pytest.mark.parametrize("words", COMMANDS)
def test_wrong_commands_are_one_line(words, capsys):
    code, out, err = command(capsys, *words.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(COMMANDS[words], err.rstrip("\n")), err


@pytest.mark.parametrize("text", ["raise ImportError('nope\\nmore')", "def f(:", "import sys; sys.exit(3)"])
def test_file_that_cannot_be_run(text, capsys, here):
    (here / "bad.py").write_text(text)
    code, out, err = command(capsys, "curve", "bad.py:workload")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "running 'bad.py' failed: " in err


def test_data_set_that_is_not_prepared_names_the_command_at_once(capsys):
    began = time.monotonic()
    code, _, err = command(capsys, "curve", "fashion_mnist_fc")
    assert time.monotonic() - began < 5
    assert code == 1 and err.count("\n") == 1
    assert "run: lr-batch data prepare fashion_mnist --from DIR" in err


def test_help_exits_with_0(capsys):
    code, out, err = command(capsys, "curve", "--help")
    assert (code, err) == (0, "")
    assert "--batch-sizes LOW:HIGH:xFACTOR" in out and "(default: None)" not in out


def test_bug_of_ours_shows_its_traceback(monkeypatch):
    monkeypatch.setattr(runs.curve.run, "run", lambda *args, **options: {}["a bug"])
    with pytest.raises(KeyError):
        command(None, "curve", "my.py:workload", "--out", "study")


def test_json_is_alone_on_stdout_and_the_folder_has_everything(finished):
    folder, out, err = finished
    assert json.loads(out) == json.loads((folder / "summary.json").read_text())
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


def test_study_begun_with_less_memory_goes_on_with_its_width(capsys, no_figures, monkeypatch):
    """Chunks are found by their width, which follows from the memory that there was at first."""
    little = ["--batch-sizes", "4,8", "--learning-rates", "0.3,1", "--seeds", "1", "--no-extend", "--json"]
    words = ["curve", "my.py:workload", *little, "--out", "begun"]
    with monkeypatch.context() as patch:
        patch.setattr("lr_batch.engine.memory.memory_budget", lambda: 1.0)
        code, out, err = command(capsys, *words)
    assert code == 0 and json.loads(out)["engine"]["chunk_width"] == 1, err
    code, out, err = command(capsys, *words)
    assert (code, json.loads(out)["engine"]["examples"]) == (0, 0), err


def test_report_draws_the_same_from_the_store(study, finished, capsys):
    for name in NAMED - {"store.sqlite"}:
        (study / name).unlink()
    code, out, err = command(capsys, "report", study)
    assert (code, err) == (0, "")
    assert "critical batch size" in out and max(map(len, out.splitlines())) <= 100
    assert NAMED <= {path.name for path in study.iterdir()}
    kept = json.loads((study / "summary.json").read_text())
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


def test_report_of_a_folder_without_a_study(capsys, here):
    code, _, err = command(capsys, "report", "nowhere")
    assert (code, err.count("\n")) == (2, 1) and "no such store" in err
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
    assert json.loads((study / "summary.json").read_text())["trials"] == 70


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


def shell(line: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, capture_output=True, timeout=120, env=os.environ | environment
    )


def test_terminal_that_knows_only_ascii_and_no_colours(study):
    strange = study.rename(study.parent / "größe ✓ a b")
    words = ["curve", f"{study.parent}/my.py:workload", *SMALL, "--no-extend", "--out", f"'{strange}'"]
    ran = shell(f"{sys.executable} -m runs {' '.join(words)}", PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == b"all 60 trials were finished before, none is trained again\n"
    assert ran.stdout.rstrip().endswith(b"gr\\xf6\\xdfe \\u2713 a b")
    assert b"\x1b" not in ran.stdout


def test_reader_that_leaves_and_no_stdout_at_all():
    call = f"{sys.executable} -m runs list optimizers"
    ran = shell(
        f"{call} | head -1; echo code ${{PIPESTATUS[0]}}; {call} >&-; echo code $?; {call} --jsn >&- 2>&-; echo $?"
    )
    assert ran.stderr == b""
    assert ran.stdout.split()[-5:] == b"code 0 code 0 2".split()
