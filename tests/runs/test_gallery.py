"""The gallery: what is made when, what its page says, and that every caption has its numbers."""

from __future__ import annotations

import json
import re
import sys
from io import BytesIO

import pytest
from command_line import main
from PIL import Image

from lr_batch import Estimate
from runs.commands.gallery import Gallery
from runs.gallery.entry import Entry, kept, shown
from runs.gallery.make import about, made, make
from runs.gallery.page import page
from runs.gallery.registry import ENTRIES

RECIPE = '''
"""A recipe that trains nothing."""

from pathlib import Path

from talks.shared_part import PNG

from lr_batch import Estimate


def main(out, *, quick=False):
    """Command: `python -m talks.drawn`; no time. Expect 2.

    Args:
      out: where the figure goes.
    """
    print("said by the recipe")
    with open("calls", "a") as calls:
        calls.write("quick " if quick else "full ")
    Path(out).write_bytes(PNG)
    return Estimate(2.0, 1.5, 2500.0)
'''


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """An entry of a recipe of this test's own, in a package with a part that it imports."""
    data = BytesIO()
    Image.new("RGB", (8, 4), "white").save(data, "PNG")
    talks = tmp_path / "talks"
    talks.mkdir()
    (talks / "__init__.py").touch()
    (talks / "shared_part.py").write_text(f"PNG = {data.getvalue()!r}\n")
    (talks / "drawn.py").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("talks", "talks.drawn", "talks.shared_part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    numbers = lambda result: {"two": result}
    return Entry("two", "Numbers", "A <small> number", "talks.drawn", numbers, "It is {two}.", "no time")


def calls(tmp_path):
    return (tmp_path / "calls").read_text().split()


def test_what_is_made_is_not_made_again(entry, tmp_path, capsys):
    for _ in range(2):
        ((_, figure),) = make([entry], tmp_path)
        assert entry.said(figure.numbers) == "It is 2 (1.5 to 2,500)."
    assert calls(tmp_path) == ["full"]
    out, err = capsys.readouterr()
    assert (out, err) == ("", "1/1 two: about no time\n")


def test_another_form_a_changed_recipe_and_a_lost_figure_are_made_again(entry, tmp_path):
    def remade():
        before = len(calls(tmp_path)) if (tmp_path / "calls").exists() else 0
        list(make([entry], tmp_path))
        return len(calls(tmp_path)) - before

    assert remade() == 1
    list(make([entry], tmp_path, quick=True))
    assert calls(tmp_path) == ["full", "quick"]
    assert remade() == 1  # the quick form is no substitute
    (tmp_path / "two.png").unlink()
    assert remade() == 1
    (tmp_path / "talks" / "drawn.py").write_text(RECIPE.replace("Expect 2", "Expect two") + "\n# a comment\n")
    assert remade() == 0  # words change no figure
    (tmp_path / "talks" / "drawn.py").write_text(RECIPE.replace("1.5", "1.6"))
    assert made(entry, tmp_path) is None and remade() == 1
    with (tmp_path / "talks" / "shared_part.py").open("a") as part:
        part.write("MORE = 1\n")
    assert remade() == 1
    asks_more = entry._replace(caption="{two} and {three}")
    assert made(asks_more, tmp_path) is None
    (tmp_path / "two.json").write_text("{")
    assert remade() == 1
    assert remade() == 0


def test_an_interrupt_keeps_what_is_made(entry, tmp_path):
    def stop(result):
        raise KeyboardInterrupt

    entries = [entry, entry._replace(name="three", numbers=stop)]
    with pytest.raises(KeyboardInterrupt, match="everything finished is kept"):
        list(make(entries, tmp_path))
    assert made(entry, tmp_path) and not made(entries[1], tmp_path)


def test_the_page_has_figures_captions_and_commands(entry, tmp_path):
    ((_, figure),) = make([entry], tmp_path)
    missing = entry._replace(name="missing", title="Missing")
    text = page([entry, missing], {"two": figure}, tmp_path)
    assert "https:" not in text and "http:" not in text and "<link" not in text  # nothing is loaded
    assert "A &lt;small&gt; number" in text and "It is 2 (1.5 to 2,500)." in text
    assert text.count("data:image/png;base64,") == 1 and "lr-batch gallery --only missing" in text
    assert (
        "Command: <code>python -m talks.drawn</code>; no time. Expect 2.</p>" in text
        and "where the figure goes" not in text
    )
    assert "mean nothing" not in text
    ((_, quick),) = make([entry], tmp_path, quick=True)
    assert "mean nothing" in page([entry], {"two": quick}, tmp_path)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.92347, "0.923"),
        (-1.5, "−1.5"),
        (1.2e-8, "1.2e-8"),
        (20_160.0, "20,160"),
        ("square root", "square root"),
        ({"best": -1.0, "low": -2.0, "high": -0.5}, "−1 (−2 to −0.5)"),
        ({"best": 1e-9, "low": -0.5, "high": 0.5}, "0 (−0.5 to 0.5)"),
        ({"best": None, "low": None, "high": None}, "not measured"),
    ],
)
def test_numbers_in_sentences(number, text):
    assert shown(number) == text


def test_what_is_no_number_is_not_measured():
    assert kept(float("nan")) == kept(float("inf")) == "not measured" and kept(3) == 3.0


def test_numbers_without_an_end_are_kept_as_json(entry, tmp_path):
    open_ended = entry._replace(numbers=lambda result: {"two": Estimate(1.0, 0.5, float("inf"))})
    ((_, figure),) = make([open_ended], tmp_path)
    assert json.loads((tmp_path / "two.json").read_text())["numbers"] == figure.numbers
    assert open_ended.said(figure.numbers) == "It is 1 (no interval)."


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_recipes_say_what_to_expect(entry):
    assert re.search(r"\b[Ee]xpect", about(entry)), (
        f"{entry.recipe}: main's docstring has no number to expect"
    )
    assert entry.caption.count("{") == entry.caption.count("}") > 0


def test_names_are_used_once_and_parts_are_together():
    names = [entry.name for entry in ENTRIES]
    parts = [entry.part for entry in ENTRIES]
    assert len(set(names)) == len(names)
    assert sum(one != other for one, other in zip(parts, parts[1:], strict=False)) == len(set(parts)) - 1


def test_one_real_figure_and_the_page_from_the_command_line(tmp_path, capsys):
    words = ["gallery", "--only", "gradient_paths", "--quick", "--out", str(tmp_path)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "0.923 with gradient descent (theory 0.923)" in out and out.endswith("index.html\n")
    seconds = json.loads((tmp_path / "gradient_paths.json").read_text())["seconds"]
    assert seconds > 0 and "1 of 22 figures, made in " in out
    assert 'id="gradient_paths"' in (tmp_path / "index.html").read_text()
    assert main(["gallery", "--only", "gradient_path", "--out", str(tmp_path)]) == 2
    assert "did you mean 'gradient_paths'" in capsys.readouterr().err


def test_what_takes_longer_than_all_others_is_made_where_it_is_named():
    long = [entry.name for entry in ENTRIES if entry.long]
    assert long == ["nine_panels"]
    assert [entry.name for entry in Gallery()._chosen()] == [e.name for e in ENTRIES if e.name not in long]
    assert [entry.name for entry in Gallery(only="nine_panels")._chosen()] == long


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_figure_in_its_quick_form(tmp_path):
    found = dict(make(ENTRIES, tmp_path, quick=True))
    for entry, figure in found.items():
        assert entry.said(figure.numbers)
