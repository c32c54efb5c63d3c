"""What is printed: names are shown as they are and do nothing; JSON is strict."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from runs.text import Printer, harmless, table
from runs.write import json_text

HOSTILE = "a[/]b[red]\x1b[2J\x9b31m\u202e\x07\rc:smile:"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_hostile_name_is_written_out_and_never_obeyed(stream, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    out = stream()
    say = Printer(out)
    say(HOSTILE)
    say(table((HOSTILE, "b"), [(HOSTILE, 1)], left=1, title=HOSTILE))
    said = out.getvalue()
    assert said.count(r"a[/]b[red]\x1b[2J\x9b31m\u202e\x07\rc:smile:") == 4
    assert not set("\x9b\u202e\x07\r") & set(said) and "\x1b[2J" not in said


def test_ordinary_text_of_any_script_stays():
    assert harmless("out\udcff") == r"out\udcff"
    assert harmless("größe ✓ 模型\nnext") == "größe ✓ 模型\nnext"


def test_sentences_in_a_pipe_are_broken_between_words():
    out = io.StringIO()
    Printer(out)("sentence " * 50)
    lines = out.getvalue().splitlines()
    assert 90 < max(map(len, lines)) <= 100 and {*out.getvalue().split()} == {"sentence"}


def test_json_is_strict_whatever_the_numbers_are():
    value = {
        "a": np.array([1.0, np.nan]),
        "b": (np.float32(0.1), -np.inf),
        "c": {"d": np.int64(3), "e": None},
    }
    text = json_text(value)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [1.0, None],
        "b": [float(np.float32(0.1)), None],
        "c": {"d": 3, "e": None},
    }
