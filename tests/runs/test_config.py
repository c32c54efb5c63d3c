"""A study written down: the same words as the options, and back."""

import pytest
from command_line import MODEL, command

import runs.curve.run
from runs.arguments import parsed
from runs.parse import UsageError

FILE = """
workload = "my.py:workload"
optimizer = "momentum"
batch-sizes = [4, 8]
learning_rates = "0.1,0.3"
seeds = 2
racing = false
extend = false
schedule = "linear"
[set]
momentum = [0.5, 0.9]
decay_steps = "50%"
"""
TYPED = [
    "my.py:workload --optimizer momentum --batch-sizes 4,8 --learning-rates 0.1,0.3 --seeds 2 --no-racing",
    "--no-extend --schedule linear --set momentum=0.5,0.9 --set decay_steps=50%",
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "my.py").write_text(MODEL)
    (tmp_path / "study.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)


def studied(*words):
    curve = parsed(["curve", *words])
    return runs.curve.run.description(
        curve.study.study(curve.optimizer or "sgd", curve.schedule, search=curve.search)
    )


def test_a_file_says_what_the_options_say():
    typed = studied(*" ".join(TYPED).split())
    assert studied("--config", "study.toml") == typed == studied("--config=study.toml")
    assert typed["seeds"] == 2 and typed["slack"] == "inf"
    more = studied("--config", "study.toml", "--budget", "70")
    assert more == typed | {"budget": 70, "program": more["program"]}


def test_the_best_rate_is_followed_where_it_is_asked_for_or_a_step_is_expensive(tmp_path, monkeypatch):
    (tmp_path / "follow.toml").write_text("follow = true")
    (tmp_path / "whole.toml").write_text("follow = false")
    words = ["my.py:workload", "--batch-sizes", "4,8"]
    whole = studied(*words)
    assert (
        studied(*words, "--follow") == studied(*words, "--config", "follow.toml") == whole | {"follow": True}
    )
    assert studied(*words, "--no-follow") == studied(*words, "--config", "whole.toml") == whole
    monkeypatch.setattr("lr_batch.engine.step_cost.EXPENSIVE", 30)  # operations: 5 inputs, 3 classes
    assert studied(*words) == whole | {"follow": True} and studied(*words, "--no-follow") == whole
    searched = ["--search", "random", "--space", "learning_rate=log(0.1,1)", "--trials", "2"]
    assert "follow" not in studied(*words, *searched)
    with pytest.raises(UsageError, match="^--follow and --no-follow are opposites; give one$"):
        studied(*words, "--follow", "--no-follow")
    monkeypatch.setattr("lr_batch.engine.step_cost.EXPENSIVE", 31)
    assert studied(*words) == whole


def test_what_is_saved_is_the_same_study(capsys, tmp_path):
    words = " ".join(TYPED).split()
    code, _, err = command(
        capsys, "curve", *words, "--goal", "loss<0.6", "--save-config", "a.toml", "--dry-run"
    )
    assert code == 0, err
    assert studied("--config", "a.toml") == studied(*words, "--goal", "loss<0.6")
    assert "dry" not in (tmp_path / "a.toml").read_text()


def test_a_comparison_is_written_down_too(capsys, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("runs.commands.compare._print_dry_runs", told.append)
    words = (
        "compare my.py:workload --schedules constant,linear --set decay_steps=50% --regularizer l2 --dry-run"
    )
    code, _, err = command(capsys, *words.split(), "--set", "l2=0.1", "--save-config", "a.toml")
    assert code == 0, err
    code, _, err = command(capsys, "compare", "--config", "a.toml", "--dry-run")
    assert code == 0, err
    typed, read = told
    assert [*typed] == ["sgd, constant", "sgd, linear"] == [*read]
    assert [(one.space, one.optimizer_name) for one in typed.values()] == [
        (one.space, one.optimizer_name) for one in read.values()
    ]
    assert typed["sgd, linear"].optimizer_name == "sgd + l2, linear schedule"
    assert typed["sgd, linear"].workload.name == read["sgd, linear"].workload.name == "tiny"


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("sedes = 3", "", "study.toml: unknown key 'sedes'; did you mean 'seeds'?"),
        ('config = "b"', "", "study.toml: config is typed, not read from a file"),
        ("seeds = 3\nseeds = 4", "", "--config: study.toml is no TOML: Cannot overwrite a value"),
        ("batch-sizes = 3\nbatch_sizes = 4", "", "study.toml: batch-sizes is given twice"),
        ("seeds = 3", "--seeds 4", "--seeds is given twice, in study.toml and on the command line"),
        ("racing = false", "--racing", "--racing is given twice, in study.toml and on the command line"),
        ("racing = 3", "", "study.toml: racing must be true or false, got 3"),
        ("seeds = true", "", "study.toml: seeds must be a number, text or a list of them, got True"),
        ("seeds = {a = 1}", "", "study.toml: seeds must be a number, text or a list of them"),
        ("[set]\nmomentum = 0.5", "--set momentum=0.6", "momentum is given twice"),
        ("seeds = 3", "--config study.toml", "--config is given twice"),
        ("seeds = ", "", "--config: study.toml is no TOML"),
        ("seeds = 0", "", "seeds must be a whole number >= 1, got 0"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(text, words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jax.stages.Lowered.compile", lambda *args, **kwargs: 1 / 0)
    (tmp_path / "study.toml").write_text(text)
    code, out, err = command(capsys, "curve", "--config", "study.toml", *words.split())
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1
