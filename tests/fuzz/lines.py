"""Command lines, drawn: mostly of the right form, with one to three slips in them."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.world import KINDS

WORDS = tomllib.loads(Path(__file__).with_name("words.toml").read_text())
BASE, VALUES, INSTEAD = WORDS["lines"], WORDS["values"], WORDS["instead"]
LONG = "x" * 300
WAITING = "--workers-dir"
ODD, EXPORTED = [*WORDS["others"]["odd"], LONG], WORDS["others"]["exported"]
WEIGHTS = {
    "curve": 6,
    "compare": 2,
    "regularize": 3,
    "tune": 4,
    "transfer": 3,
    "report": 3,
    "export": 2,
    "verify": 2,
}


class Line(NamedTuple):
    """A command line, and the folder in which one file is damaged before."""

    words: list[str]
    damaged: str | None


def line(draw: random.Random, options: dict[str, list[str]]) -> Line:
    """One command line.

    Args:
      options: those of each command.
    """
    if draw.random() < 0.03:
        return Line(
            draw.choice([[], ["--version"], ["--help"], ["-h"], ["curv"], ["--curve"], ["", ""], ["help"]]),
            None,
        )
    names = list(BASE)
    name = draw.choices(names, [WEIGHTS.get(name, 1) for name in names])[0]
    words = draw.choice(BASE[name]).split()
    for _ in range(draw.choice([0, 1, 1, 1, 2, 2, 3])):
        words = words or ["--"]
        words = draw.choices(SLIPS, [6, 8, 3, 1, 1, 1, 1, 1])[0](draw, name, words, options[name])
    damaged = draw.choice(list(KINDS)) if draw.random() < 0.35 else None
    if damaged and name in ("report", "export", "verify", "status", "watch", "plan", "merge"):
        words[:1] = [damaged]
    elif damaged and name in KINDS and draw.random() < 0.5:
        words = [*KINDS[name][1:], "--out", damaged]  # the command again, in a folder that is damaged
    else:
        damaged = None
    return Line([name, *words], damaged)


def value(draw: random.Random, name: str, option: str) -> str:
    known = EXPORTED if (name, option) == ("export", "--out") else VALUES.get(option, ODD)
    return draw.choice(ODD if draw.random() < 0.1 else VALUES[known] if isinstance(known, str) else known)


def changed(draw: random.Random, name: str, words: list[str], options: list[str]) -> list[str]:
    """Another value for an option that is there."""
    del options
    places = [i for i, word in enumerate(words[:-1]) if word in VALUES]
    if not places:
        return words
    i = draw.choice(places)
    return [*words[: i + 1], value(draw, name, words[i]), *words[i + 2 :]]


def added(draw: random.Random, name: str, words: list[str], options: list[str]) -> list[str]:
    """One more option."""
    option = draw.choice(options or ["--out"])
    if option in words:
        return changed(draw, name, words, options)
    if option not in VALUES:
        return [*words, option]
    text = value(draw, name, option)
    if (
        option == WAITING and "--time-limit" not in words
    ):  # for workers that nobody starts, for ever, as is right
        words = [*words, "--time-limit", "2s"]
    return [*words, f"{option}={text}"] if draw.random() < 0.3 else [*words, option, text]


def renamed(draw: random.Random, name: str, words: list[str], options: list[str]) -> list[str]:
    """Another workload, kind or folder in the first place."""
    del options
    return words if words[0].startswith("--") else [draw.choice(_instead(name)), *words[1:]]


def _instead(name: str) -> list[str]:
    known = INSTEAD.get(name, INSTEAD["others"])
    return INSTEAD[known] if isinstance(known, str) else known


def misspelt(draw: random.Random, name: str, words: list[str], options: list[str]) -> list[str]:
    del name
    option = draw.choice(options or ["--out"])
    i = draw.randrange(2, len(option))
    wrong = draw.choice(
        [option[:i] + option[i + 1 :], option[:i] + "x" + option[i:], option.upper(), option[1:]]
    )
    return [*words, wrong, draw.choice(["1", "my.py:workload"])]


def repeated(draw: random.Random, name: str, words: list[str], options: list[str]) -> list[str]:
    del name, options
    i = draw.randrange(len(words))
    return words[: i + 1] + words[i:]


def lost(draw: random.Random, name: str, words: list[str], options: list[str]) -> list[str]:
    """Without one value, so that the next word is taken for it."""
    del name, options
    places = [i for i, word in enumerate(words) if not word.startswith("--")]
    gone = draw.choice(places) if places else 0
    return [word for i, word in enumerate(words) if i != gone]


def inserted(draw: random.Random, name: str, words: list[str], options: list[str]) -> list[str]:
    del name, options
    i = draw.randrange(len(words) + 1)
    return [*words[:i], draw.choice(ODD), *words[i:]]


def asked(draw: random.Random, name: str, words: list[str], options: list[str]) -> list[str]:
    del name, options
    return [*words, draw.choice(["--help", "-h"])]


SLIPS = [changed, added, renamed, misspelt, repeated, lost, inserted, asked]
