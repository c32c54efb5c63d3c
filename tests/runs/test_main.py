"""The command line as a stranger meets it: what is wrong gets one line, what is right its folder."""

import re
import sys
import time

import pytest
from command_line import command, shell

import runs.curve.run
from runs.arguments import options
from runs.commands import COMMANDS as ALL

pytestmark = pytest.mark.usefixtures("caches", "here")
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
    "--seeds 999999999999999999999999999999": "trials .* are more than 1,000,000",
    "--seeds 1.5": "^lr-batch: --seeds: must be a whole number, got '1.5'$",
    "--seeds 2 --seeds=3": "--seeds is given twice",
    "--budget 0": "budget must be a whole number from 1 to 1,000,000,000, got 0",
    "--budget 1e15": "budget must be a whole number from 1 to 1,000,000,000",
    "--budget many": "^lr-batch: --budget: must be a whole number, got 'many'$",
    "--goal loss": "goal: must look like 'loss<0.2'",
    "--goal loss>0.2": "digits_mlp: less loss is better, but the goal is loss > 0.2: write 'loss < 0.2'$",
    "--goal loss<9": "held-out loss is 2.4.* before .*: the goal loss < 9 is met already; take a lower one$",
    "--goal accuracy>0.9": r"unknown goal metric 'accuracy' \(known: error, loss.*\); accuracy > 0.9 is error < 0.1$",
    "--goal loss<nan": "threshold must be a finite number",
    "--goal los<0.2": r"unknown goal metric 'los'; did you mean 'loss'\? \(known: error, loss",
    "digit_mlp": "unknown workload 'digit_mlp'; did you mean 'digits_mlp'.*known: cifar10_resnet8, ",
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
    "my.py:raises": r"the model with its loss failed: ZeroDivisionError: division by zero \(my.py, line \d+\)$",
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
    "digits_mlp --optimizer my.py:make": "mup: step_kind must be one of sgd, adam, muon, got None for the optimizer make",
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
    "tune --batch-schedule x2@5epochs": "tune has no option --batch-schedule; it is one of check, curve, compare, noise",
    "tune --config x": "tune has no option --config; it is one of curve, compare",
    "curve --config x": "--config: 'x' cannot be read: No such file or directory$",
    "curve --conf x": "curve has no option --conf; did you mean --config",
    "curve --workload digits_mlp": "curve has no option --workload",
    "tune --ask 1e9": "ask must be from 1 to 100,000, got 1,000,000,000$",
    "tune --trials 1e15 --ask 1e15": "trials must be from 1 to 1,000,000, got 1,000,000,000,000,000$",
    "tune --width 1e9": "width must be from 1 to 4,096",
    "tune --confirm 1e9": "confirm must be from 0 to 500",
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
    "data prepare mnist": "give --from DIR, the folder of the files, or --standin, got neither$",
    "data prepare mnist --standin --from .": "unknown stand-in from files 'mnist'.*known: c4, cifar10, imagenet2012, ",
    "data prepare fashion_mnist --standin": "unknown stand-in 'fashion_mnist'.*known: c4, cifar10",
    "curve my.py:workload --scale tiny": "--scale is for names of `lr-batch list workloads`, not for 'my.py:workload'$",
    "curve cifar10_resnet8 --scale huge": r"cifar10_resnet8: unknown scale 'huge' \(known: base, tiny\)$",
    "curve digits_mlp-tiny": "workload digits_mlp has one scale, got 'tiny'$",
    "export . --out x.xyz": "format must be one of csv, json, parquet, got 'xyz'",
    "regularize --epochs x": "^lr-batch: --epochs: must be a number, got 'x'$",
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


@pytest.mark.parametrize("name", ["imagenet_resnet50", "imagenet_vgg11-tiny", "lm1b_lstm"])
def test_data_set_of_which_there_is_a_stand_in_alone_names_that(name, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    began = time.monotonic()
    code, _, err = command(capsys, "curve", name)
    assert time.monotonic() - began < 5
    assert code == 1 and err.count("\n") == 1
    assert "; run: lr-batch data prepare " in err and " --standin, for " in err


def test_help_exits_with_0(capsys):
    code, out, err = command(capsys, "curve", "--help")
    assert (code, err) == (0, "")
    assert "--batch-sizes LOW:HIGH:xFACTOR" in out and "(default: None)" not in out


@pytest.mark.parametrize("name", ["curve", "bench", "status", "list", "check"])
def test_help_has_no_words_of_python(name, capsys):
    code, out, _ = command(capsys, name, "--help")
    assert code == 0 and not re.search(r"default: (None|True|False|\[|\()", " ".join(out.split()))


def test_every_command_that_shows_progress_can_be_quiet():
    quiet = {name for name, kind in ALL.items() if "--quiet" in options(kind)}
    trained = "curve compare tune transfer regularize bench noise-scale goal gallery"
    assert quiet == {*trained.split()}


def test_bug_of_ours_shows_its_traceback(monkeypatch):
    monkeypatch.setattr(runs.curve.run, "run", lambda *args, **options: {}["a bug"])
    with pytest.raises(KeyError):
        command(None, "curve", "my.py:workload", "--out", "study")


def test_reader_that_leaves_and_no_stdout_at_all():
    call = f"{sys.executable} -m runs list optimizers"
    ran = shell(
        f"{call} | head -1; echo code ${{PIPESTATUS[0]}}; {call} >&-; echo code $?; {call} --jsn >&- 2>&-; echo $?"
    )
    assert ran.stderr == b""
    assert ran.stdout.split()[-5:] == b"code 0 code 0 2".split()
