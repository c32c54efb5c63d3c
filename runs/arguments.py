"""What was typed after `lr-batch`, as the command that it names."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import os
import re
import sys
import typing
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Annotated, Any

from runs.config import with_config
from runs.parse import REPEATABLE, UsageError

HELP = ("-h", "--help")
FIRST_WORDS = """\
lr-batch measures which learning rate, batch size and optimizer a training problem wants.

  lr-batch curve                     a first study: handwritten digits, SGD; about a minute
  lr-batch check FILE.py:NAME        whether your own workload can be measured
  lr-batch curve FILE.py:NAME        steps to a goal and best learning rate at each batch size
  lr-batch gallery                   the figures of a lecture on tuning, from real trainings
  lr-batch list workloads            what has a name; also optimizers, schedules, regularizers, searches

lr-batch --help lists all commands, lr-batch COMMAND --help the options of one."""


def answered(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for words alone, which are printed."""
    if not arguments:
        print(FIRST_WORDS)
    elif arguments[0] == "--version":
        from lr_batch import __version__

        print(f"lr-batch {__version__}")
    return not arguments or arguments[0] == "--version"


def parsed(arguments: Sequence[str]) -> Callable[[], None]:
    """The command that the arguments name; SystemExit where they ask for help.

    Raises:
      UsageError: one line.
    """
    import tyro

    from runs.commands import COMMANDS

    config = (tyro.conf.OmitArgPrefixes,)
    name, words = arguments[0], list(arguments[1:])
    if name in HELP:
        return _said_plainly(
            lambda: tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="lr-batch", args=[name], config=config
            )
        )
    if name.startswith("-"):
        raise UsageError(f"{name} is no command; begin with one of {', '.join(COMMANDS)}")
    if name not in COMMANDS:
        from optim.names import unknown

        raise UsageError(unknown("command", name, COMMANDS))
    words = with_config(words, list(options(COMMANDS[name])))
    refuse_unknown(name, words, COMMANDS)
    refuse_repeated(words)
    with contextlib.nullcontext() if {*HELP} & {*words} else _wide():
        return _said_plainly(
            lambda: tyro.cli(COMMANDS[name], prog=f"lr-batch {name}", args=words, config=config)
        )


def refuse_repeated(arguments: Sequence[str]) -> None:
    """The parser would take the last of several values and ignore the others."""
    options = _options_in(arguments)
    for option in options:
        if options.count(option) > 1 and option not in REPEATABLE:
            raise UsageError(f"{option} is given twice")


def refuse_unknown(name: str, arguments: Sequence[str], commands: Mapping[str, type]) -> None:
    """Names the nearest option of this command, or the command that has such an option."""
    known = {command: list(options(kind)) for command, kind in commands.items()}
    for option in _options_in(arguments):
        if option in known[name] or option in HELP:
            continue
        others = [command for command, has in known.items() if option in has]
        # A name that another command has is meant as it stands, unless it is a letter away from one of this command.
        near = difflib.get_close_matches(option, known[name], n=1, cutoff=0.9 if others else 0.75)
        hint = f"lr-batch {name} --help lists those it has"
        if near:
            hint = f"did you mean {near[0]}?"
        elif others:
            hint = f"it is one of {', '.join(others)}"
        raise UsageError(f"{name} has no option {option}; {hint}")


def options(command: type) -> Iterator[str]:
    """Every option of a command, those of its groups too."""
    import tyro

    hints: dict[str, Any] = typing.get_type_hints(command, include_extras=True)
    for name, kind in hints.items():
        kind, *marks = typing.get_args(kind) if typing.get_origin(kind) is Annotated else (kind,)
        if dataclasses.is_dataclass(kind):
            yield from options(typing.cast(type, kind))
        elif tyro.conf.Positional not in marks:
            given = next((mark.name for mark in marks if getattr(mark, "name", None)), name)
            yield f"--{given.replace('_', '-')}"
            if kind is bool:
                yield f"--no-{given.replace('_', '-')}"


def _options_in(arguments: Sequence[str]) -> list[str]:
    return [
        word.partition("=")[0].replace("_", "-")
        for word in arguments
        if word.startswith("--") and word != "--"
    ]


def _said_plainly(parse: Callable[[], Any]) -> Callable[[], None]:
    """What `parse` makes. The parser colours what it writes to a terminal, whatever NO_COLOR says."""
    shown, complaint = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(complaint):
            return parse()
    except SystemExit as leaving:
        if leaving.code:
            raise UsageError(one_line(complaint.getvalue())) from None
        sys.stdout.write(shown.getvalue())
        raise


@contextlib.contextmanager
def _wide() -> Generator[None, None, None]:
    """The parser cuts long words at the width of the terminal."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


BORDER = "╭╮╰╯│─+| "


def one_line(box: str) -> str:
    """What a message that was set in a box with ruled sections has to say: its first section.

    >>> one_line("╭─ Wrong ──╮\\n│ No: │\\n│ --on │\\n│ ──── │\\n│ For help, run ... │\\n╰──╯")
    'No: --on'
    """
    lines = [line.strip(BORDER) for line in box.splitlines()[1:]]  # the first has the title
    ruled = "\n".join("\f" if not line.strip("-") else line for line in lines)
    sections = [" ".join(section.split()) for section in ruled.split("\f")]
    said = next((section for section in sections if section), box.strip()).removeprefix("Error parsing ")
    return re.sub(r"Expected one of \((.*?)\)", _choices, said)


def _choices(found: re.Match[str]) -> str:
    """The choices in order, without the None of an option that may be left out: the parser has them in a set.

    >>> _choices(re.match(r"Expected one of \\((.*?)\\)", "Expected one of ('steps', 'None', 'memory')"))
    "Expected one of 'memory', 'steps'"
    """
    named = sorted({word.strip() for word in found[1].split(",")} - {"'None'", ""})
    return f"Expected one of {', '.join(named)}"
