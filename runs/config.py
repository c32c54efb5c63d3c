"""Options of a command from a file, and written to one: TOML with the same words."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runs.parse import REPEATABLE, UsageError

OPTION = "--config"
POSITIONAL = "workload"
# What belongs to one run, and not to the study.
OF_A_RUN = (
    "config",
    "save_config",
    "out",
    "json",
    "add",
    "dry_run",
    "time_limit",
    "workers_dir",
    "allow_mixed",
)


def with_config(words: Sequence[str], known: Collection[str]) -> list[str]:
    """The words with those of the file behind `--config` among them.

    Args:
      words: typed after the command.
      known: options of the command, such as "--seeds".

    Raises:
      UsageError: one line: the file cannot be read, a key is unknown or repeated, or its option was typed too.
    """
    place, rest = _taken(words)
    if place is None or OPTION not in known:
        return list(words)
    if _taken(rest)[0] is not None:
        raise UsageError(f"{OPTION} is given twice")
    typed = {word.partition("=")[0].replace("_", "-") for word in rest if word.startswith("--")}
    added: list[str] = []
    for name, value in _read(place).items():
        option = f"--{name}"
        if name.replace("-", "_") in OF_A_RUN[:2]:
            raise UsageError(f"{place}: {name} is typed, not read from a file")
        if name != POSITIONAL and option not in known:
            names = [POSITIONAL, *(word[2:] for word in known if not word.startswith("--no-"))]
            # `optim` imports JAX, and `lr-batch --help` should not wait for it.
            from optim.names import unknown

            raise UsageError(f"{place}: {unknown('key', name, names)}")
        if typed & {option, f"--no-{name}"} and option not in REPEATABLE:
            raise UsageError(f"{option} is given twice, in {place} and on the command line")
        added += [_text(place, name, value)] if name == POSITIONAL else _words(place, name, value, known)
    return [*added, *rest]


def _taken(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The file behind `--config`, and the other words."""
    for i, word in enumerate(words):
        if word.startswith(f"{OPTION}="):
            return word.partition("=")[2], [*words[:i], *words[i + 1 :]]
        if word == OPTION and i + 1 < len(words):
            return words[i + 1], [*words[:i], *words[i + 2 :]]
    return None, list(words)


def _read(place: str) -> dict[str, Any]:
    """What is in the file, with dashes in the names."""
    try:
        read = tomllib.loads(Path(place).read_text())
    except OSError as error:
        raise UsageError(f"--config: {place!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--config: {place!r} is no text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--config: {place} is no TOML: {error}") from None
    names = [name.replace("_", "-") for name in read]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise UsageError(f"{place}: {repeated[0]} is given twice")
    return dict(zip(names, read.values(), strict=True))


def _words(place: str, name: str, value: Any, known: Collection[str]) -> list[str]:
    option = f"--{name}"
    if f"--no-{name}" in known:
        if not isinstance(value, bool):
            raise UsageError(f"{place}: {name} must be true or false, got {value!r}")
        return [option] if value else _off(place, name, known)
    if isinstance(value, Mapping) and option in REPEATABLE:
        value = [f"{key}={_text(place, key, listed)}" for key, listed in value.items()]
    several = value if isinstance(value, list) and option in REPEATABLE else [value]
    return [word for one in several for word in (option, _text(place, name, one))]


def _off(place: str, name: str, known: Collection[str]) -> list[str]:
    """Flags that are off by themselves have no word for it."""
    return [] if name.replace("-", "_") in OF_A_RUN else [f"--no-{name}"]


def _text(place: str, name: str, value: Any) -> str:
    """A value as it would be typed; several with commas."""
    if isinstance(value, list) and value:
        return ",".join(_text(place, name, one) for one in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{place}: {name} must be a number, text or a list of them, got {value!r}")
    return str(value)


def save_config(command: Any, path: Path) -> None:
    """Writes the options of a command that are not the default's; `with_config` reads them."""
    from runs.write import write_atomically

    lines = [f"{name.replace('_', '-')} = {_toml(value)}" for name, value in _chosen(command)]
    try:
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise UsageError(f"--save-config: {path} cannot be written: {error.strerror}") from None


def _chosen(command: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if dataclasses.is_dataclass(value):
            yield from _chosen(value)
        elif field.name not in OF_A_RUN and (value != field.default or field.name == POSITIONAL):
            yield field.name, value


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)  # text, numbers and truth values are written alike
