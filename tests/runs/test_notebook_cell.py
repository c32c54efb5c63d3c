"""Progress in a notebook: one output that is drawn again, with the bar of a terminal."""

from __future__ import annotations

import io
import sys
from types import ModuleType

import pytest

from lr_batch import Best, Progress
from runs import notebook_cell
from runs.notebook_cell import Cell, bar, running_cell
from runs.progress import ProgressLine, describe


class Kernel(io.StringIO):
    """A stderr as ipykernel has it."""

    __module__ = "ipykernel.iostream"


class Shown(list):
    """What a cell shows, one entry a drawing."""

    def display(self, told, **how):
        assert how == {"raw": True, "display_id": True}
        self.append(told)
        return self

    def update(self, told, **how):
        assert how == {"raw": True} and self, "there is something to draw again"
        self.append(told)


@pytest.fixture
def shown(monkeypatch):
    shown, module = Shown(), ModuleType("IPython.display")
    module.display = shown.display
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_a_cell_has_one_bar_in_the_place_of_lines(shown, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Kernel())  # here: pytest has its own between a fixture and its test
    now = [10.0]
    monkeypatch.setattr(notebook_cell.time, "monotonic", lambda: now[0])
    half = Progress(
        chunks_done=5,
        chunks=10,
        trials_done=80,
        trials_trained=40,
        reached=30,
        diverged=4,
        alive=16,
        seconds=60.0,
        width=8,
        left=60.0,
        metric="loss",
        best=(Best(64, 812.4, 0.19),),
    )
    with ProgressLine(title="digits <b>") as line:
        for _ in range(3):  # within half a second
            line(half)
        now[0] += 1.0
        line(half)
        line(half._replace(chunks_done=10))
    assert len(shown) == 3 and sys.stderr.getvalue() == ""
    drawn = shown[0]["text/html"]
    assert "digits &lt;b&gt;" in drawn and '<progress value="0.500"></progress> 50%' in drawn
    assert describe(half) in shown[0]["text/plain"] and "100%" in shown[2]["text/html"]


def test_without_a_known_share_the_bar_only_moves():
    assert "<progress></progress>" in bar("a study", None, [])


def test_outside_of_a_notebook_there_is_no_cell(shown, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Kernel())
    assert isinstance(running_cell(), Cell)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert running_cell() is None
    assert ProgressLine().cell is None and ProgressLine(Kernel()).cell is None, (
        "a stream of one's own is no cell"
    )
