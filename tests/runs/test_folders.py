"""Folders of every kind: each knows what it is, is reported, exported and verified, and never overwritten."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL, command

import runs.commands.bench
from runs.curve.run import OF_THE_RUN
from runs.folder import file_name
from runs.kept_json import read_kept
from runs.regularize.array_store import ArrayStore
from runs.store import Store

MODELS = (
    MODEL
    + """

def leaves(hparams):
    raise SystemExit(4)


class Odd(BaseException):
    pass


def odd(hparams):
    raise Odd("mine")


def sized(width):
    return workload._replace(name="sized")


hostile = workload._replace(name="../../x[/]\\x1b[2J")
"""
)
GRID = ["--batch-sizes", "4,8,16,32", "--learning-rates", "0.1,0.5,2.5", "--seeds", "2"]
TUNED = "--confirm 2 --width 3 --batch-size 8".split()
COMMANDS = {
    "curve": ["curve", "my.py:workload", *GRID, "--no-extend"],
    "compare": ["compare", "my.py:workload", "--optimizers", "sgd,my.py:make", *GRID, "--no-extend"],
    "tune": ["tune", "my.py:workload", *"--search random --trials 6 --ask 3 --budget 20".split(), *TUNED],
    "regularize": ["regularize", "my.py:workload", *GRID, "--strengths", "0.1", "--epochs", "2"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of every kind."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "my.py").write_text(MODELS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("runs.curve.figures.FIGURES", {})
        from runs.__main__ import main

        for kind, words in COMMANDS.items():
            assert main([*words, "--out", kind]) == 0, kind
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of them, as the working folder."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("runs.curve.figures.FIGURES", {})
    return tmp_path / "here"


def chunk_widths(folder: Path) -> list[int]:
    """Lanes of every finished chunk."""
    with Store(folder, read_only=True) as store:
        rows = [json.loads(chunk.identity)["width"] for chunk in store.chunks()]
    files = ArrayStore(folder, read_only=True).chunks() if (folder / "chunks").is_dir() else ()
    return sorted([*rows, *(chunk.identity.width for chunk, _ in files)])


@pytest.mark.parametrize(("first", "then"), [(1.0, 1e12), (1e12, 1.0)], ids=["less", "more"])
@pytest.mark.parametrize("kind", ["curve", "tune", "regularize"])
def test_a_study_begun_with_other_memory_finds_its_chunks(kind, first, then, here, monkeypatch, capsys):
    """Chunks are found by their width, which follows from the memory that there was at first."""
    few = {"curve": ["--batch-sizes", "4,8"], "regularize": ["--batch-sizes", "8"], "tune": []}[kind]
    words = [*COMMANDS[kind], "--out", "begun"]
    for name, value in zip(few[::2], few[1::2], strict=True):
        words[words.index(name) + 1] = value
    widths: list[int] = []
    for budget in (first, then):
        monkeypatch.setattr("lr_batch.engine.memory.memory_budget", lambda mesh, budget=budget: budget)
        code, _, err = command(capsys, *words)
        assert code == 0, err
        widths = widths or chunk_widths(here / "begun")
    assert chunk_widths(here / "begun") == widths and (set(widths) == {1}) == (first == 1.0)


def sql(folder: Path, script: str) -> None:
    with closing(sqlite3.connect(folder / "store.sqlite")) as db:
        db.execute(script)
        db.commit()


@pytest.mark.parametrize("kind", COMMANDS)
def test_every_folder_says_what_made_it_and_refuses_another_study(kind, here, capsys):
    with Store(here / kind, read_only=True) as store:
        known = store.description
        assert known.kind == kind and known.study["seeds" if kind != "tune" else "ask"]
        assert known.command.startswith(f"lr-batch {kind} my.py:workload ") and "jax" in known.versions
    kept = {path: path.read_bytes() for path in (here / kind).glob("*.*") if path.suffix in (".json", ".png")}
    assert kept
    other = "tune" if kind != "tune" else "curve"
    longer = (
        [*COMMANDS[kind], "--goal", "loss<0.1"] if kind != "regularize" else [*COMMANDS[kind], "--set", "l=1"]
    )
    for words in (COMMANDS[other], longer if kind != "regularize" else [*COMMANDS[kind][:-1], "3"]):
        code, out, err = command(capsys, *words, "--out", kind)
        assert (code, out) == (2, "") and re.search("holds (another study|results of)", err), err
    assert kept == {path: path.read_bytes() for path in kept}


@pytest.mark.parametrize("kind", COMMANDS)
def test_status_of_every_kind(kind, here, capsys):
    code, out, err = command(capsys, "status", kind, "--json")
    told = json.loads(out)
    assert (code, err) == (0, "") and told["kind"] == kind and told["state"] == "done"
    studies = told["studies"] if kind == "compare" else [told]
    assert len(studies) == (2 if kind == "compare" else 1)
    for one in studies:
        assert one["title"].startswith("tiny with ") and one["share"] == 1.0 and one["finished"]["chunks"] > 0
    if kind in ("curve", "compare"):
        assert sum(studies[0]["finished"]["trials"].values()) == studies[0]["progress"]["trials_done"] == 24


@pytest.mark.parametrize("kind", ["curve", "compare"])
def test_report_answers_as_the_command_did(kind, here, capsys):
    before = read_kept(here / kind / "summary.json")
    (here / kind / "summary.json").unlink()
    code, out, err = command(capsys, "report", kind)
    assert (code, err) == (0, "") and "sgd" in out
    after = read_kept(here / kind / "summary.json")
    strip = lambda summary: {name: value for name, value in summary.items() if name != "engine"}
    if kind == "compare":
        assert [strip(one) for one in after["optimizers"]] == [strip(one) for one in before["optimizers"]]
        assert after["differences"] == before["differences"]
    else:
        assert strip(after) == strip(before) and after["advice"]


def test_report_keeps_what_the_summary_says_of_the_run(here, capsys):
    before = read_kept(here / "curve" / "summary.json")["engine"]
    assert command(capsys, "report", "curve")[0] == 0
    after = read_kept(here / "curve" / "summary.json")["engine"]
    assert {name: after[name] for name in OF_THE_RUN} == {name: before[name] for name in OF_THE_RUN}
    assert after["programs_compiled"] and after["evaluation_share"]


@pytest.mark.parametrize("kind", ["tune", "regularize"])
def test_report_of_other_kinds_answers_as_the_command_did_without_its_model(kind, here, capsys):
    before = read_kept(here / kind / "summary.json")
    for path in [*(here / kind).glob("*.png"), here / kind / "report.html", here / "my.py"]:
        path.unlink()
    code, out, err = command(capsys, "report", kind, "--figures", "pdf")
    assert (code, err) == (0, ""), err
    drawn = {path.stem: path.with_suffix(".pdf").read_bytes()[:5] for path in (here / kind).glob("*.png")}
    assert len(drawn) >= 3 and set(drawn.values()) == {b"%PDF-"}
    after = read_kept(here / kind / "summary.json")
    strip = lambda summary: {
        name: value for name, value in summary.items() if name not in ("seconds", "trained_now")
    }
    assert strip(after) == strip(before)
    assert ("Use learning_rate=" if kind == "tune" else "Batch size 8: best") in out
    assert (here / kind / "report.html").exists() and list((here / kind).glob("*.png"))


@pytest.mark.parametrize("kind", ["tune", "regularize"])
def test_report_of_what_is_not_whole_names_the_command_that_goes_on(kind, here, capsys):
    kept = (here / kind / "summary.json").read_bytes()
    if kind == "tune":
        sql(here / kind, "UPDATE trials SET steps = steps + 1 WHERE number = 1")
    else:
        sorted((here / kind / "chunks").iterdir())[0].unlink()
    code, out, err = command(capsys, "report", kind)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"not all of it is finished and whole; lr-batch {kind} my.py:workload " in err
    assert (here / kind / "summary.json").read_bytes() == kept


@pytest.mark.parametrize(
    ("kind", "trials"), [("curve", 24), ("compare", 48), ("tune", None), ("regularize", 48)]
)
def test_export_of_every_kind_has_its_trials_with_names(kind, trials, here, capsys):
    code, out, err = command(capsys, "export", kind, "--out", "t.csv")
    assert (code, err) == (0, ""), err
    rows = list(csv.DictReader((here / "t.csv").read_text().splitlines()))
    assert len(rows) == trials or kind == "tune"
    assert {row["workload"] for row in rows} == {"tiny"}
    assert {row["optimizer"].split(" ")[0] for row in rows} == (
        {"sgd", "make"} if kind == "compare" else {"sgd"}
    )
    assert all(row["goal"].startswith("loss") for row in rows)
    allowed = {"reached", "outpaced", "budget", "diverged"}
    assert {row["status"] for row in rows} <= (allowed if kind != "regularize" else {"finished", "diverged"})
    if kind in ("curve", "compare"):
        assert "outpaced" in {row["status"] for row in rows}
    if kind == "tune":
        best = read_kept(here / kind / "summary.json")["finalists"][0]
        fresh = [row for row in rows if row["phase"] == "fresh seed"]
        mine = [r for r in fresh if float(r["hparam.learning_rate"]) == best["setting"]["learning_rate"]]
        assert np.isclose(np.mean([float(row["loss"]) for row in mine]), best["fresh_mean"])
        assert 0 < len(fresh) < len(rows) and {row["phase"] for row in rows} == {"search", "fresh seed"}


def test_a_damaged_row_is_named_counted_and_survived(here, capsys):
    sql(here / "curve", "UPDATE trials SET steps = steps + 1 WHERE batch_size = 8 AND seed = 1")
    code, out, err = command(capsys, "verify", "curve")
    assert code == 1 and "curve: 3 damaged" in err
    assert out.count("trials row") == 3 and out.count("runs again: batch size 8, seed 1") == 3
    code, out, err = command(capsys, "report", "curve")
    assert code == 0 and "left out 3 damaged rows, which run again" in " ".join(out.split()), err
    code, out, err = command(capsys, "export", "curve", "--out", "t.csv")
    assert code == 0 and "21 trials written" in out and "left out 3 damaged rows" in err
    assert command(capsys, *COMMANDS["curve"], "--out", "curve")[0] == 0
    assert command(capsys, "verify", "curve")[:2] == (0, "curve: everything is whole\n")


def test_a_damaged_file_is_survived_too(here, capsys):
    path = here / "curve" / "store.sqlite"
    content = bytearray(path.read_bytes())
    content[8192 : 8192 + 64] = bytes(64)
    path.write_bytes(content)
    assert command(capsys, "verify", "curve")[0] == 1
    code, out, err = command(capsys, "report", "curve")
    assert code == 0, err
    assert "damaged" in out and path.read_bytes() == bytes(content)


@pytest.mark.parametrize("kind", COMMANDS)
def test_verify_of_every_kind(kind, here, capsys):
    assert command(capsys, "verify", kind)[0] == 0
    inside = here / kind / "sgd" if kind == "compare" else here / kind
    if kind == "regularize":
        file = sorted((inside / "chunks").iterdir())[0]
        file.write_bytes(file.read_bytes()[:-1])
    else:
        sql(inside, "UPDATE chunks SET seconds = 1e9 WHERE number = 1")
    code, out, err = command(capsys, "verify", kind)
    assert code == 1 and "runs again" in out and f"lr-batch: {kind}: 1 damaged" in err
    code, _, err = command(capsys, "export", kind, "--out", "t.json")
    assert code == 0 and "damaged" in err


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_digit_of_a_summary_that_changed_is_damage(kind, here, capsys):
    """It is JSON still; `report` writes it again."""
    path = here / kind / "summary.json"
    path.write_text(re.sub(r"[1-8](?=[,\n])", "9", path.read_text(), count=1))
    code, out, _ = command(capsys, "verify", kind)
    assert code == 1 and out == f"{kind}: summary.json is damaged\n"
    assert command(capsys, "report", kind)[0] == 0
    assert command(capsys, "verify", kind)[0] == 0


def test_flipped_bits_of_a_file_of_arrays_are_absence(here, capsys):
    """Of the zip archive's directory, too, which NumPy reads before any checksum of its own."""
    file = sorted((here / "regularize" / "chunks").iterdir())[0]
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for at in [*range(len(whole) - 400, len(whole), 16), *rng.integers(len(whole), size=30)]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        assert command(capsys, "verify", "regularize")[0] == 1
    summary = read_kept(here / "regularize" / "summary.json")
    code, _, err = command(capsys, *COMMANDS["regularize"], "--out", "regularize")
    assert code == 0 and "chunks 7/8" in err
    again = read_kept(here / "regularize" / "summary.json")
    assert again["strengths"] == summary["strengths"]
    assert command(capsys, "verify", "regularize")[0] == 0


def test_a_damaged_description_is_repaired_by_the_command(here, capsys):
    sql(here / "curve", "UPDATE studies SET study = replace(study, '0.5', '0.6')")
    assert "studies row 1 is damaged" in command(capsys, "verify", "curve")[1]
    code, out, err = command(capsys, "report", "curve")
    assert code == 0 and "loss < 0.5" in out, err
    code, _, err = command(capsys, *COMMANDS["curve"], "--goal", "loss<0.6", "--out", "curve")
    assert code == 2 and "holds another study (goal: " in err
    assert command(capsys, *COMMANDS["curve"], "--out", "curve")[0] == 0
    assert command(capsys, "report", "curve")[0] == 0


@pytest.mark.parametrize(
    "name",
    ["store.sqlite", "lease.sqlite", "STORE.sqlite-wal", "summary.json", "heatmap.png", "chunks/x.csv"],
)
def test_export_never_replaces_what_a_run_keeps(name, here, capsys):
    before = {path: path.read_bytes() for path in (here / "curve").rglob("*") if path.is_file()}
    for out in (f"curve/{name}", f"../here/curve/{name}"):
        code, _, err = command(capsys, "export", "curve", "--out", out, "--format", "csv")
        assert code == 2 and "a file that a run keeps its results in" in err
    assert before == {path: path.read_bytes() for path in (here / "curve").rglob("*") if path.is_file()}
    assert command(capsys, "export", "curve", "--out", "curve/trials.csv")[0] == 0


def test_compare_takes_over_what_curve_has_stored(here, capsys):
    words = COMMANDS["curve"]
    code, out, _ = command(capsys, *words, "--json")
    curve = json.loads(out)
    for more in ([], ["--out", "again"]):
        code, out, err = command(capsys, *COMMANDS["compare"], "--json", *more)
        assert code == 0, err
        sgd, make = json.loads(out)["optimizers"]
        assert sgd["engine"]["examples"] == 0 and sgd["steps_to_goal"] == curve["steps_to_goal"]
        assert (make["engine"]["examples"] == 0) == bool(more)
    assert command(capsys, "report", "again")[0] == 0
    assert (here / "again" / "my.py_make" / "store.sqlite").exists()


@pytest.mark.parametrize("optimizer", ["leaves", "odd"])
def test_a_users_code_that_leaves_the_process_is_one_line(optimizer, here, capsys):
    for words in (
        ["curve", "my.py:workload", "--optimizer", f"my.py:{optimizer}", *GRID],
        [*COMMANDS["tune"], "--optimizer", f"my.py:{optimizer}"],
        [*COMMANDS["regularize"], "--optimizer", f"my.py:{optimizer}"],
    ):
        code, out, err = command(capsys, *words, "--out", "new")
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert re.search("SystemExit: 4|Odd: mine", err)
    optimizers = f"sgd,my.py:{optimizer},my.py:broken"
    code, out, err = command(
        capsys, "compare", "my.py:workload", "--optimizers", optimizers, *GRID, "--no-extend", "--out", "new"
    )
    assert (
        code == 2 and "sgd" in out and re.search("SystemExit: 4|Odd: mine", err) and "my optimizer is" in err
    )


def test_names_never_become_paths_and_do_nothing_to_a_terminal(here, capsys):
    code, out, err = command(capsys, "curve", "my.py:hostile", *GRID, "--no-extend")
    assert code == 0, err
    assert r"../../x[/]\x1b[2J" in out and "\x1b" not in out + err
    for words in (COMMANDS["compare"], COMMANDS["tune"], COMMANDS["regularize"]):
        code, out, err = command(capsys, words[0], "my.py:hostile", *words[2:])
        assert code == 0 and "\x1b" not in out + err, err
    folders = [path.name for path in (here / "lr-batch-results").iterdir()]
    assert len(folders) == 5 and all(re.fullmatch(r"[\w.-]+-[0-9a-f]{8}", name) for name in folders)
    assert {path.name for path in here.parent.iterdir()} == {"here"}
    assert [file_name(name) for name in ("..", "", "a/b", ".hidden")] == ["_", "_", "a_b", "hidden"]


def test_results_of_an_older_version_without_a_description_are_not_overwritten(here, capsys):
    (here / "old").mkdir()
    (here / "old" / "summary.json").write_text("{}")
    code, _, err = command(capsys, *COMMANDS["regularize"], "--out", "old")
    assert code == 2 and "old: holds summary.json of an older lr-batch" in err
    assert [path.name for path in (here / "old").iterdir()] == ["summary.json"]


def test_an_interrupted_benchmark_says_that_nothing_is_kept(here, capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("runs.bench.compare.measure", interrupted)
    code, out, err = command(capsys, "bench", "--quick", "--out", "bench")
    assert (code, out) == (130, "") and err == f"lr-batch: {runs.commands.bench.NOT_KEPT}\n"
    code, _, err = command(capsys, "report", "bench")
    assert code == 1 and "the benchmark did not come to its end" in err
    assert "its table is bench/bench.json" in command(capsys, "export", "bench", "--out", "b.csv")[2]
