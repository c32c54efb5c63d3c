"""Studies that are killed and interrupted: what was finished stays, and the end is the same bit for bit."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import MODEL, ROOT, children

from runs.interrupts import SIGNALS, interruptible
from runs.store import Store, StoreError

STUDY = ("--batch-sizes", "1:16:x2", "--learning-rates", "0.03:3:4", "--seeds", "6", "--no-extend")
TRIALS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def commands(folder):
    """Where they fork from; programs are cached in the folder."""
    with children(folder) as started:
        yield started


@pytest.fixture(scope="module")
def uninterrupted(folder, commands):
    """The command, and its trials when it runs in one go."""
    (folder / "my.py").write_text(MODEL)
    words = ("curve", f"{folder}/my.py:hard", *STUDY, "--out")
    commands.start(*words, folder / "whole")
    assert commands.finish() == 0, commands.log.read_text()
    return words, rows(folder / "whole")


def rows(folder):
    with Store(folder, read_only=True) as store:
        assert not store.verify()
        return store.trial_rows()


@pytest.mark.parametrize("kills", [3, pytest.param(24, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_killed_at_random_moments_ends_as_if_it_had_not_been(uninterrupted, commands, folder, kills):
    """SIGKILL, with the lanes in flight kept as often as can be, so that chunks are resumed in the middle."""
    words, whole = uninterrupted
    assert len(whole) == TRIALS
    rng, out, landed = random.Random(kills), folder / f"killed{kills}", [0]
    while len(landed) <= kills:
        pid = commands.start(*words, out, checkpoint_seconds=0.0)
        if len(landed) % 3 == 1:  # every third kill comes once more is done, the others may come before
            wait_for_rows(out, landed[-1])
        time.sleep(rng.uniform(0, 1.0))
        os.kill(pid, signal.SIGKILL)
        assert commands.finish() == -signal.SIGKILL, f"it had ended; {landed} rows after the kills before"
        landed.append(len(rows(out)) if (out / "store.sqlite").exists() else 0)
    commands.start(*words, out, checkpoint_seconds=0.0)
    assert commands.finish() == 0, commands.log.read_text()
    print("rows after each kill:", landed)
    assert landed == sorted(landed) and 0 < landed[-1] < TRIALS
    assert rows(out) == whole


def test_first_interrupt_finishes_what_is_in_flight_and_says_how_to_go_on(uninterrupted, commands, folder):
    words, whole = uninterrupted
    out = folder / "interrupted"
    pid = commands.start(*words, out)
    commands.wait_for("chunks 0/30")
    wait_for_rows(out, 0)
    os.kill(pid, signal.SIGINT)
    assert commands.finish() == 130
    said = commands.log.read_text()
    assert "lr-batch: finishing the chunks in flight; once more to stop now" in said
    assert "lr-batch: interrupted; everything finished is kept, the same command goes on" in said
    assert "Traceback" not in said
    kept = rows(out)
    assert 0 < len(kept) < TRIALS and set(kept) < set(whole)
    commands.start(*words, out)
    assert commands.finish() == 0
    assert rows(out) == whole


@pytest.fixture
def handlers():
    """Those of this process come back: an interrupt leaves others for the rest of a process."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signal_while_the_process_ends_leaves_no_traceback():
    """After the first Ctrl-C, in whatever moment the second comes."""
    script = (
        "import os, signal, time\n"
        "from runs.interrupts import SIGNALS, interruptible\n"
        "try:\n"
        "    with interruptible():\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(10)\n"
        "except KeyboardInterrupt:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(10)\n"
    )
    call = [sys.executable, "-c", script]
    done = subprocess.run(call, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "lr-batch: finishing the chunks in flight; once more to stop now\n"


@pytest.mark.usefixtures("handlers")
def test_termination_is_an_interrupt():
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)  # the signal arrives before


@pytest.mark.usefixtures("handlers")
def test_interrupt_where_exceptions_are_ignored_comes_again():
    def _xla_gc_callback():
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), interruptible():
        _xla_gc_callback()
        time.sleep(10)


def test_interrupt_within_an_import_ends_the_process(tmp_path):
    """An exception there leaves libraries half loaded, which then crash."""
    (tmp_path / "slow.py").write_text("import os, time\nos.kill(os.getpid(), 2)\ntime.sleep(10)")
    script = "from runs.interrupts import SIGNALS, interruptible\nwith interruptible():\n    import slow"
    path = os.pathsep.join((str(ROOT), str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.startswith("lr-batch: interrupted")) == (130, True), done


def test_second_signal_stops_at_once_and_loses_nothing(uninterrupted, folder):
    words, _ = uninterrupted
    out, log = folder / "stopped", folder / "stopped.log"
    # A process of its own: one that was forked with JAX in it does not always survive its own end.
    command = [
        sys.executable,
        "-m",
        "runs",
        *words,
        str(out),
        "--budget",
        "100000000",
    ]  # its chunks would take hours
    with log.open("w") as stderr:
        child = subprocess.Popen(command, cwd=ROOT, stderr=stderr, stdout=subprocess.DEVNULL)
    try:
        wait_for_text(log, r"[1-9]\d* in training")
        child.send_signal(signal.SIGINT)
        wait_for_text(log, "once more to stop now")
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == 130
    finally:
        child.kill()
    assert time.monotonic() - began < 20
    assert rows(out) == []
    Store(out).close()  # nobody holds it


def wait_for_text(path: Path, pattern: str, seconds: float = 120.0) -> None:
    """Returns once a file holds what matches a pattern."""
    end = time.monotonic() + seconds
    while not re.search(pattern, path.read_text()):
        assert time.monotonic() < end, path.read_text()
        time.sleep(0.05)


def wait_for_rows(folder, more_than: int, seconds: float = 120.0) -> None:
    """Returns once another process has stored more than so many trials."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with (
            contextlib.suppress(StoreError),
            Store(folder, read_only=True) as store,
        ):  # it may not be made yet
            if len(store.trial_rows()) > more_than:
                return
        time.sleep(0.01)
    pytest.fail(f"no more than {more_than} trials in {folder} after {seconds} s")
