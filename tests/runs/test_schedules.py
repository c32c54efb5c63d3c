"""Schedules on the command line: in curve, compare, their words and their figures."""

import json

import pytest
from command_line import MODEL, command

pytestmark = pytest.mark.usefixtures("unrendered")

SMALL = "--batch-sizes 4,40 --learning-rates 0.3,1,3 --seeds 2 --no-extend --goal loss<0.6".split()


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "my.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)


def test_curve_names_the_schedule_and_the_peak(here, capsys):
    words = "curve my.py:workload --schedule linear --set decay_steps=50% --set end_factor=0,0.1".split()
    code, out, err = command(capsys, *words, *SMALL, "--out", "o")
    assert code == 0, err
    assert "tiny with sgd, linear schedule" in out and "best peak rate" in out
    assert "peak learning rate" in out and "decay_steps 50% of the budget" in out
    code, again, err = command(capsys, *words, *SMALL, "--out", "o", "--json")
    assert code == 0 and "none is trained again" in err
    summary = json.loads(again)
    assert summary["schedule"] == {"name": "linear", "units": {"decay_steps": "budget"}}
    code, out, err = command(capsys, "report", "o")
    assert code == 0 and "best peak rate" in out, err
    with open("o/report.html") as file:
        assert "Best peak learning rate against batch size" in file.read()


def test_another_unit_is_another_study(here, capsys):
    words = ["curve", "my.py:workload", *SMALL, "--out", "o", "--schedule", "linear", "--set"]
    assert command(capsys, *words, "decay_steps=100")[0] == 0
    code, _, err = command(capsys, *words, "decay_steps=100examples")
    assert code == 2 and "schedule.units.decay_steps" in err


def test_compare_puts_schedules_beside_each_other(here, capsys):
    words = "compare my.py:workload --schedules constant,linear --set decay_steps=50% --out o".split()
    code, out, err = command(capsys, *words, *SMALL)
    assert code == 0, err
    assert "sgd, linear schedule" in out
    with open("o/summary.json") as file:
        names = [entry["optimizer"] for entry in json.load(file)["optimizers"]]
    assert names == ["sgd", "sgd, linear schedule"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("curve --schedule linear", "linear: needs decay_steps in the space, such as decay_steps=50%"),
        ("curve --schedule liner", "unknown schedule 'liner'; did you mean 'linear'?"),
        (
            "curve --schedule linear --set decay_steps=9 --set power=2",
            "unknown hyperparameter of sgd, linear",
        ),
        ("curve --set decay_steps=9", "unknown hyperparameter of sgd 'decay_steps'"),
        ("curve --schedule linear --set decay_steps=9 --set decay_steps=8", "decay_steps is given twice"),
        ("curve --schedule linear --set decay_steps=9,5%", "must have one unit"),
        ("curve --schedule linear --schedule cosine", "--schedule is given twice"),
        ("curve --optimizer momentum --set momentum=5%", "study: momentum must be numbers, got '5%'"),
        ("compare --schedules linear,linear --set decay_steps=9", "--schedules: needs two or more different"),
        ("compare --schedules constant,cosine --set warmup=3", "cosine: needs decay_steps"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(words, said, here, capsys, monkeypatch):
    monkeypatch.setattr("jax.stages.Lowered.compile", lambda *args, **kwargs: 1 / 0)
    code, out, err = command(capsys, *words.split())
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1


def test_a_time_limit_of_a_comparison_is_of_all_its_studies(here, capsys):
    words = ["compare", "my.py:workload", *SMALL, "--optimizers", "sgd,adam", "--out", "o"]
    code, out, err = command(capsys, *words, "--time-limit", "0.001s")
    assert code == 0, err
    assert "sgd: time limit: 12 of 12 trials are missing" in out and "adam: time limit: 12 of 12" in out
    code, out, err = command(capsys, *words, "--time-limit", "10m", "--json")
    assert code == 0 and len(json.loads(out)["optimizers"]) == 2, err
    code, out, err = command(capsys, *words, "--time-limit", "soon")
    assert code == 2 and err.count("\n") == 1
