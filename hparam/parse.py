"""Command-line form of a search space: `lr=log(1e-4,1)`, `act=choice(relu,tanh)`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from hparam.dimension import Dimension, choice, integer, linear, log, log1m
from hparam.space import Space
from optim.arguments import explain_arguments
from optim.names import unknown

KINDS: dict[str, Callable[..., Dimension]] = {
    "linear": linear,
    "log": log,
    "log1m": log1m,
    "int": integer,
    "choice": choice,
}
FORM = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(\w+)\s*\((.*?)\)\s*(?:when\s+(\w+)\s*=\s*(\S+)\s*)?")
USAGE = "NAME=KIND(LOW,HIGH) or NAME=choice(A,B,...), then nothing or `when OTHER=VALUE`"


@explain_arguments
def parse_space(texts: Iterable[str]) -> Space:
    """A space from one text per dimension.

    >>> str(parse_space(["lr=log(1e-4,1)", "act=choice(relu,tanh)", "slope=linear(0,.5) when act=relu"]))
    'lr=log(0.0001,1) act=choice(relu,tanh) slope=linear(0,0.5) when act=relu'
    """
    dimensions: dict[str, Dimension] = {}
    for text in texts:
        name, dimension = _parse_dimension(text, dimensions)
        if name in dimensions:
            raise ValueError(f"space: {name} is given twice")
        dimensions[name] = dimension
    return Space(dimensions)


def _parse_dimension(text: str, earlier: dict[str, Dimension]) -> tuple[str, Dimension]:
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"space: cannot read {text!r}; write {USAGE}")
    name, kind, arguments, parent, value = match.groups()
    try:
        dimension = _make(kind, [argument.strip() for argument in arguments.split(",")])
        return name, dimension if parent is None else _conditional(dimension, parent, value, earlier)
    except ValueError as error:
        raise ValueError(f"space: {name}: {error}") from None


def _make(kind: str, arguments: list[str]) -> Dimension:
    if kind not in KINDS:
        raise ValueError(unknown("kind", kind, KINDS))
    if "" in arguments:
        raise ValueError(f"{kind} has an empty value in ({','.join(arguments)})")
    if kind == "choice":
        numbers = [number for number in map(_number, arguments) if number is not None]
        return choice(*(numbers if len(numbers) == len(arguments) else arguments))
    if len(arguments) != 2 or None in map(_number, arguments):
        raise ValueError(f"{kind} takes two numbers, got ({','.join(arguments)})")
    return KINDS[kind](*map(float, arguments))


def _conditional(dimension: Dimension, parent: str, value: str, earlier: dict[str, Dimension]) -> Dimension:
    """`dimension` that counts only where `parent` is `value`, a number or the text of a choice."""
    if parent not in earlier:
        raise ValueError(f"depends on {parent!r}, which is not a dimension before it")
    labels = earlier[parent].labels
    number = float(labels.index(value)) if value in labels else None if labels else _number(value)
    if number is None:
        raise ValueError(f"depends on {parent}={value}, which {parent}={earlier[parent].text} never is")
    return dimension._replace(text=f"{dimension.text} when {parent}={value}", condition=(parent, number))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
