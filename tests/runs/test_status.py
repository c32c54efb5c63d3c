"""How far a run is, from another terminal: what it has said, whether it still lives, and that nobody disturbs it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys

import pytest
from terminal import on_terminal

from runs.__main__ import main
from runs.process import Owner, host, started
from runs.status.news import (
    DONE,
    ELSEWHERE,
    INTERRUPTED,
    KILLED,
    NAME,
    RUNNING,
    Teller,
    read_news,
    state_of,
    telling,
)
from runs.status.status import UNKNOWN, status
from runs.status.watch import watch
from runs.store import Store, StoreError


@pytest.fixture
def folder(tmp_path):
    with Store(tmp_path / "study") as store:
        store.describe({"workload": "tiny"}, kind="curve", command="lr-batch curve tiny")
    return tmp_path / "study"


@pytest.fixture
def stranger():
    """Another process, as an owner of a folder."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield Owner(process.pid, started(process.pid) or "", host(), "today")
    process.kill()
    process.wait()


def test_what_a_run_says_is_read_back(folder):
    with telling(folder, "tiny with sgd") as teller:
        teller.write(RUNNING)
        teller.say(["chunks 1/2"], 0.5, {"left": 3.0})
        assert read_news(folder).lines == (), "said less than a second after the last time"
        teller.write(RUNNING)
        found = status(folder)
        assert found.state == RUNNING and found.news.lines == ("chunks 1/2",)
    assert status(folder).state == DONE
    with pytest.raises(KeyboardInterrupt), telling(folder, "tiny with sgd"):
        raise KeyboardInterrupt
    assert status(folder).state == INTERRUPTED


def test_a_run_that_was_killed_is_told_from_one_that_lives(folder, stranger):
    teller = Teller(folder, "tiny with sgd")
    teller.news = teller.news._replace(owner=stranger)
    teller.write(RUNNING)
    assert status(folder).state == RUNNING
    os.kill(stranger.pid, signal.SIGKILL)
    while started(stranger.pid):
        pass
    assert status(folder).state == KILLED
    teller.news = teller.news._replace(owner=stranger._replace(host="another"))
    assert state_of(teller.news) == ELSEWHERE


def test_the_writer_is_not_disturbed_in_the_middle_of_a_transaction(folder):
    with Store(folder) as store, telling(folder, "tiny"):
        with store._file.writing():
            store._add_event("half written")
            assert status(folder).state == RUNNING
        assert store.events == ("half written",)


def test_nothing_is_written_by_looking(folder):
    """But for the two files that SQLite wants beside a store whose log it may read."""
    kept = lambda: {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".sqlite"}
    before = kept()
    assert main(["status", str(folder)]) == 0
    assert before == kept()
    assert {path.name for path in folder.iterdir()} - {*before} <= {"store.sqlite-shm", "store.sqlite-wal"}


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"title": "x"}', "\x00", "[" * 100_000, "null"])
def test_damaged_news_are_no_news(folder, damage):
    (folder / NAME).write_text(damage)
    assert status(folder).state == UNKNOWN


def test_a_folder_that_takes_no_news_does_not_end_the_run(tmp_path):
    with telling(tmp_path / "gone", "tiny") as teller:
        teller.say(["chunks 1/2"])


def test_where_there_is_nothing_one_line_says_so(tmp_path, capsys):
    with pytest.raises(StoreError, match="there is no such folder"):
        status(tmp_path / "nowhere")
    assert main(["watch", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_status_as_json(folder, capsys):
    with telling(folder, "tiny with sgd") as teller:
        teller.say(["chunks 1/2"], 0.5, {"left": float("inf"), "best": ()})
    assert main(["status", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "done" and told["kind"] == "curve" and told["share"] == 0.5
    assert told["command"] == "lr-batch curve tiny" and told["progress"] == {"left": None, "best": []}
    assert told["finished"] == {"chunks": 0, "trials": {}}


def test_watching_ends_with_the_run(folder):
    teller, out = Teller(folder, "tiny with sgd"), io.StringIO()
    teller.write(RUNNING)
    seconds = iter([("chunks 1/2", RUNNING), ("chunks 1/2", RUNNING), ("chunks 2/2", DONE)])

    def sleep(_):
        line, state = next(seconds)
        teller.say([line])
        teller.write(state)

    assert watch(folder, out, sleep).state == DONE
    assert [line for line in out.getvalue().splitlines() if "chunks" in line] == [
        "  chunks 1/2",
        "  chunks 2/2",
    ]


def test_ctrl_c_ends_the_watching_alone(folder, capsys):
    def sleep(_):
        os.kill(os.getpid(), signal.SIGINT)

    with telling(folder, "tiny with sgd"):
        assert watch(folder, io.StringIO(), sleep).state == RUNNING
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(folder):
    code = """
import runs.status.watch as w
from pathlib import Path
from runs.status.news import Teller, DONE, RUNNING
teller = Teller(Path(FOLDER), "tiny with sgd")
teller.say(["chunks 1/2, [b]best[/b]"], 0.5)
teller.write(RUNNING)
import time
w.watch(Path(FOLDER), sleep=lambda _: (time.sleep(0.3), teller.write(DONE)))
""".replace("FOLDER", repr(str(folder)))
    returned, shown = on_terminal(code=code)
    assert returned == 0, shown
    assert "━━━" in shown and "50%" in shown and "[b]best[/b]" in shown
