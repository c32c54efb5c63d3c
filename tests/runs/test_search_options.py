"""A search at every batch size on the command line: its answer, its store, its files, and what is refused."""

import json

import numpy as np
import pytest
from command_line import MODEL, command

from runs.curve.run import stored_result
from runs.store import Store
from runs.store.rows import trial_of

pytestmark = pytest.mark.usefixtures("unrendered")

GRID = "curve my.py:workload --batch-sizes 4,40 --seeds 2 --goal loss<0.6 --optimizer momentum".split()
SEARCH = [*GRID, "--search", "quasi_random", "--trials", "8", "--space", "learning_rate=log(0.05,3)"]
MOMENTUM = ["--space", "momentum=log1m(0,0.9)"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "my.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_search_prints_both_readings_and_goes_on_from_its_store(here, capsys):
    code, out, err = command(capsys, *SEARCH, *MOMENTUM, "--out", "o")
    assert code == 0, err
    for said in ("best of", "optimism", "surface", "rate/(1-m)", "90% interval"):
        assert said in out, said
    assert {"protocols.png", "ranges.png", "summary.json", "report.html"} <= {
        f.name for f in (here / "o").iterdir()
    }
    code, again, err = command(capsys, *SEARCH, *MOMENTUM, "--out", "o", "--json")
    assert code == 0 and "none is trained again" in err
    summary = json.loads(again)
    assert summary["trials"] == 2 * 2 * 8 and summary["search"]["trials"] == 8
    assert summary["search"]["axes"]["momentum"] == ["log1m", 0.0, 0.9]
    assert [row["feasible"] for row in summary["best_of_trials"]] == [8, 8]
    assert {"effective_rate", "others"} <= set(summary["steps_to_goal"][0])
    code, out, err = command(capsys, "report", "o")
    assert code == 0 and "optimism" in out, err
    assert "The search read in two ways" in (here / "o" / "report.html").read_text()
    assert command(capsys, "export", "o", "--out", "t.csv")[0] == 0
    assert (here / "t.csv").read_text().count("\n") == 33


def test_batch_sizes_see_the_same_settings(capsys):
    assert command(capsys, *SEARCH, *MOMENTUM, "--out", "o")[0] == 0
    settings = {4: set(), 40: set()}
    for trial in stored_result("o").trials:
        settings[trial.batch_size].add(tuple(trial.hparams.values()))
    assert settings[4] == settings[40] and len(settings[4]) == 8


def test_more_trials_go_on_and_another_search_is_another_study(capsys):
    assert command(capsys, *SEARCH, "--out", "o")[0] == 0
    more = [word if word != "8" else "12" for word in SEARCH]
    code, _, err = command(capsys, *more, "--out", "o")
    assert code == 2 and "trials" in err
    code, out, err = command(capsys, *more, "--out", "o", "--add", "--json")
    assert code == 0 and json.loads(out)["trials"] == 2 * 2 * 12
    code, _, err = command(capsys, *more, "--out", "o", "--add", "--search-seed", "1")
    assert code == 2 and "searched.seed" in err


def test_lengths_and_factors_of_a_schedule_stand_in_the_space(capsys):
    words = [
        "--set",
        "momentum=0.9",
        "--schedule",
        "linear",
        "--space",
        "decay_steps=linear(50%,100%)",
        "--space",
        "end_factor=choice(0.01,0.1)",
    ]
    code, out, err = command(capsys, *SEARCH, *words, "--out", "o")
    assert code == 0, err
    assert "% of the budget" in out
    result = stored_result("o")
    assert result.schedule.units == {"decay_steps": "budget"} and set(result.hparams["momentum"]) == {0.9}
    assert set(result.hparams["end_factor"]) == {0.01, 0.1}
    assert 0.5 <= result.hparams["decay_steps"].min() < result.hparams["decay_steps"].max() <= 1.0


def test_a_search_that_learns_asks_in_rounds(capsys):
    words = [word if word != "quasi_random" else "bayes" for word in SEARCH]
    code, _, err = command(capsys, *words, "--ask", "4", "--out", "o")
    assert code == 0, err
    assert stored_result("o").num_trials == 2 * 2 * 8


def test_a_search_with_rungs_trains_the_best_for_longer_to_the_same_numbers(here, capsys):
    words = [{"quasi_random": "asha", "loss<0.6": "loss<0.02"}.get(word, word) for word in SEARCH]
    words += "--option min_steps=10% --option eta=2 --budget 3000examples --no-racing --out o".split()
    code, _, err = command(capsys, *words)
    assert code == 0, err
    with Store(here / "o", read_only=True) as store:
        rows = [trial_of(row) for row in store.trial_rows()]
    legs = {}
    for trial in rows:
        legs.setdefault((trial.batch_size, trial.seed, *trial.hparams.values()), []).append(trial)
    assert len(legs) == 2 * 2 * 8 and max(map(len, legs.values())) >= 3
    for first, *further in (sorted(leg, key=lambda trial: trial.steps) for leg in legs.values()):
        assert first.status == "budget" or not further
        for longer in further:
            assert longer.steps > first.steps
            assert longer.curve.values[: len(first.curve.values)].tolist() == first.curve.values.tolist()
    result = stored_result("o")
    assert result.num_trials == len(legs)
    assert result.steps.sum() == sum(max(trial.steps for trial in leg) for leg in legs.values())
    assert {3000 // 4, 3000 // 40} <= {*result.steps.tolist()}
    code, _, err = command(capsys, *words)
    assert code == 0 and "none is trained again" in err


def test_a_population_says_what_its_fastest_members_were_trained_with(here, capsys):
    words = [{"quasi_random": "population", "loss<0.6": "loss<0.3"}.get(word, word) for word in SEARCH]
    words = [*words, *"--option size=4 --option interval=10% --budget 100 --out o".split()]
    code, out, err = command(capsys, *words)
    assert code == 0, err
    for said in (
        "best of",
        "from step",
        "no place on a smooth surface",
        "none has one rate",
        "Train tiny with momentum",
    ):
        assert said in out, said
    assert "surface  " not in out and "best rate" not in out
    files = {file.name for file in (here / "o").iterdir()}
    assert "lineages.png" in files and not {"protocols.png", "ranges.png", "learning_rate.png"} & files
    code, again, err = command(capsys, *words, "--json")
    assert code == 0 and "none is trained again" in err
    summary, result = json.loads(again), stored_result("o")
    assert summary["search"]["changes"] == [0.125, 0.25, 0.5] and summary["search"]["trials"] == 8
    assert any("no place on a smooth surface" in note for note in summary["notes"])
    more = [word if word != "size=4" else "size=5" for word in words]
    code, _, err = command(capsys, *more, "--add")
    assert code == 2 and "searched.options.size" in err  # another population is another search
    for row in summary["steps_to_goal"]:
        names = ["learning_rate", "learning_rate.1", "learning_rate.2", "learning_rate.3"]
        of = np.flatnonzero(result.batch_size == row["batch_size"])
        lineage = [tuple(result.hparams[name][i] for name in names) for i in of]
        assert len(set(lineage)) > 8 and any(len(set(rates)) > 1 for rates in lineage)
        shown = [piece["learning_rate"] for piece in row["pieces"]]
        assert shown[0] in {rates[0] for rates in lineage} and set(shown) <= {
            rate for one in lineage for rate in one
        }
    code, report, _ = command(capsys, "report", "o")
    assert code == 0 and report.split("from step")[1][:300] == out.split("from step")[1][:300]
    assert "The fastest members" in (here / "o" / "report.html").read_text()


def test_a_search_is_written_down_and_read_back(here, capsys):
    code, _, err = command(capsys, *SEARCH, *MOMENTUM, "--save-config", "s.toml", "--dry-run")
    assert code == 0, err
    written = (here / "s.toml").read_text()
    assert 'search = "quasi_random"' in written and "trials = 8" in written
    code, out, err = command(capsys, "curve", "--config", "s.toml", "--dry-run")
    assert (
        code == 0 and "32 trials: 2 batch sizes x 8 settings that quasi_random proposes x 2 seeds" in out
    ), err


def test_two_optimizers_are_compared_by_a_search(here, capsys):
    words = [word for word in SEARCH if word not in ("--optimizer", "momentum")][1:]
    code, out, err = command(capsys, "compare", *words, "--optimizers", "sgd,adam", "--out", "o")
    assert code == 0, err
    assert (here / "o" / "adam" / "protocols.png").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--space", "learning_rate=log(0.1,1)"], "--space belongs to a search; name one"),
        (["--trials", "9"], "--trials belongs to a search"),
        (
            ["--search", "population", "--option", "interval=5"],
            "interval must be a part of the budget up to 50%",
        ),
        (["--search", "asha", "--option", "min_steps=3weeks"], "min_steps must be"),
        (["--search", "asha", "--option", "min_steps=9000000"], "min_steps must be at most the budget"),
        (["--search", "sobol"], "unknown search 'sobol'"),
        (["--search", "random", "--learning-rates", "0.1,1"], "--learning-rates lists a grid"),
        (
            ["--search", "random", "--set", "momentum=0.5,0.9"],
            "--set momentum takes one value beside --search",
        ),
        (["--search", "random", *MOMENTUM, "--set", "momentum=0.5"], "momentum is searched and fixed"),
        (["--search", "random", *MOMENTUM, *MOMENTUM], "momentum is given twice"),
        (["--search", "random", "--space", "momentun=log1m(0,0.9)"], "did you mean 'momentum'"),
        (["--search", "random", "--space", "momentum=log1m(0,1.2)"], "bounds must be in"),
        (["--search", "random", "--space", "momentum=linear(0,1)"], "momentum must be"),
        (["--search", "random", "--schedule", "linear"], "linear: needs decay_steps in the space"),
        (["--search", "random", "--schedule", "linear", "--space", "decay_steps=log(10%,500)"], "one unit"),
        (["--search", "random", "--option", "depth=2"], "random has no option 'depth'"),
    ],
)
def test_wrong_searches_are_one_line_and_exit_2(here, capsys, words, message):
    code, out, err = command(capsys, *GRID, *words)
    assert (code, out) == (2, "") and err.count("\n") == 1 and message in err, err
    assert not (here / "lr-batch-results").exists()
