"""How far a study is, as people read it."""

import io
import math
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from lr_batch import Best, Progress
from runs import progress
from runs.progress import ProgressLine, describe, describe_best, panel
from runs.tune.live import LiveBest

HALF = Progress(
    chunks_done=5,
    chunks=10,
    trials_done=80,
    trials_trained=40,
    reached=30,
    diverged=4,
    alive=16,
    seconds=20.0,
    left=60.0,
    metric="loss",
)
BEST = (Best(16, math.nan, 0.312), Best(64, 812.4, 0.19), Best(1_024, 31.6, 0.15))


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def test_line_has_all_that_is_known():
    assert describe(HALF) == (
        "chunks 5/10, trials 80: 30 reached, 4 diverged, 16 in training, 2.0 trials/s, 25% done, about 1 min 00 s left"
    )


def test_waiting_for_data_is_said_where_data_are_streamed():
    assert "2.0 trials/s, waiting for data 12%, 25% done" in describe(HALF._replace(waiting=0.124))
    assert "waiting" not in describe(HALF)


def test_memory_of_a_chunk_is_said_once_before_anything_is_trained():
    stream, sized = io.StringIO(), HALF._replace(width=16, lane_bytes=1.234e6)
    with ProgressLine(stream) as line:
        for done in (5, 6, 10):
            line(sized._replace(chunks_done=done))
    assert stream.getvalue().splitlines()[0] == "chunk: 16 lanes x 1.23 MB"
    assert stream.getvalue().count("chunk: ") == 1


def test_one_lane_is_one_lane():
    stream = io.StringIO()
    ProgressLine(stream)(HALF._replace(width=1, lane_bytes=1e6))
    assert stream.getvalue().splitlines()[0] == "chunk: 1 lane x 1 MB"


def test_memory_is_not_said_where_nothing_is_trained():
    stream = io.StringIO()
    with ProgressLine(stream) as line:
        line(HALF._replace(chunks_done=10, trials_trained=0, width=16, lane_bytes=1e6))
    assert "chunk: " not in stream.getvalue()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"left": None}, "2.0 trials/s, time left unknown"),
        ({"trials_trained": 0}, "16 in training, 25% done, about 1 min 00 s left"),
        ({"trials_trained": 0, "seconds": 0.0, "left": None}, "16 in training, time left unknown"),
        ({"seconds": 400.0}, "6.0 trials/min, 87% done, about 1 min 00 s left"),
        ({"seconds": 4_000.0, "left": 80_000.0}, "36.0 trials/hour, 5% done, about 22 h 13 min left"),
        ({"chunks_done": 10}, "2.0 trials/s, after 20 s"),
        ({"chunks_done": 10, "trials_trained": 0}, "80 trials were finished before, none is trained again"),
    ],
)
def test_rate_and_time_left_are_never_nothing_while_training_goes_on(changes, said):
    assert describe(HALF._replace(**changes)).endswith(said)


def test_without_a_terminal_a_line_now_and_then_and_one_at_the_end(monkeypatch):
    now, stream = [100.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with ProgressLine(stream) as line:
        for done in range(1, 11):
            line(HALF._replace(chunks_done=done))
            now[0] += 2.0
    assert [text.split(",")[0] for text in stream.getvalue().splitlines()] == [
        "chunks 1/10",
        "chunks 4/10",
        "chunks 7/10",
        "chunks 10/10",
    ]
    assert "\x1b" not in stream.getvalue()


def test_on_a_terminal_one_line_that_goes_away(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with ProgressLine(stream) as line:
        line(HALF)
    shown = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())  # colours
    assert "chunks 5/10, trials 80: 30 reached" in shown
    assert shown.endswith("\x1b[2K"), "the line is erased"


@pytest.mark.parametrize("columns", [20, 40, 80, 100, 200])
@pytest.mark.parametrize("times", [1, 1_000])
def test_live_line_is_never_wrapped(columns, times, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    many = Progress(
        *(value * times for value in HALF[:7]), seconds=40_000.0, left=40_000.0, best=BEST * times
    )
    stream = Terminal()
    with ProgressLine(stream) as line:
        line(many)
    shown = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n")
    assert f"chunks {many.chunks_done}/{many.chunks}" in shown
    assert max(map(len, shown.split("\n"))) <= columns
    assert (" min left" in shown) == (columns > 60 or columns == 40 and times == 1)


def test_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with ProgressLine(stream) as line:
        line(HALF)
    assert stream.getvalue() == describe(HALF) + "\n"


def test_reader_that_left_ends_the_lines_and_not_the_study():
    with ProgressLine(Broken()) as line:
        line(HALF._replace(chunks_done=10))
        line(HALF._replace(chunks_done=10))
    closed = io.StringIO()
    closed.close()
    ProgressLine(closed)(HALF)


def test_quiet_has_no_progress_but_for_who_watches_from_elsewhere(capsys):
    told = []
    token = progress.QUIET.set(True)
    try:
        with ProgressLine(title="a study", tell=lambda *said: told.append(said)) as line:
            line(HALF)
        with LiveBest(SimpleNamespace(trials=4, study=SimpleNamespace(max_steps=8))) as live:
            live._say("best 0.1")
        progress.say_progress("chunks 1/2")
    finally:
        progress.QUIET.reset(token)
    assert len(told) == 1 and capsys.readouterr() == ("", "")
    progress.say_progress("chunks 1/2")
    assert capsys.readouterr() == ("", "chunks 1/2\n")


def test_the_best_at_each_batch_size_is_told_the_largest_first():
    progress = HALF._replace(best=BEST)
    assert describe_best(progress) == "best so far, at batch 1024: 32 steps, 64: 812 steps, 16: loss 0.312"
    assert describe_best(progress, 60) == "best so far, at batch 1024: 32 steps, 64: 812 steps"
    assert describe_best(progress, 10) == describe_best(HALF) == ""
    assert describe_best(progress._replace(chunks_done=10, trials_trained=0)) == "", "nothing is trained"


def test_without_a_terminal_the_best_is_said_where_it_has_changed(monkeypatch):
    now, stream = [100.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with ProgressLine(stream) as line:
        for best in (BEST[:1], BEST[:1], BEST):
            line(HALF._replace(best=best))
            now[0] += 6.0
    assert [text for text in stream.getvalue().splitlines() if text.startswith("best")] == [
        "best so far, at batch 16: loss 0.312",
        "best so far, at batch 1024: 32 steps, 64: 812 steps, 16: loss 0.312",
    ]


def test_who_watches_on_a_narrow_terminal_is_told_the_time_left():
    """What a run has said is for any width; the best so far is cut."""
    console = Console(file=io.StringIO(), width=60)
    best = "best so far, at batch " + ", ".join(f"{2**power}: 812 steps" for power in range(10))
    console.print(panel("study", 0.25, (describe(HALF), best), 58))
    head, *lines = console.file.getvalue().splitlines()
    assert head.startswith("study") and head.endswith("25%")
    assert " ".join(map(str.strip, lines[:-1])) == describe(HALF) and len(lines) == 3
    assert lines[-1].endswith("…") and all(line.startswith("  ") for line in lines)
