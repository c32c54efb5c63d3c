"""Every exported factory says what its arguments are, where it comes from, and shows itself."""

from __future__ import annotations

import inspect
import re

import pytest

import optim
import reg

FACTORIES = {
    name: getattr(optim, name) for name in optim.__all__ if hasattr(getattr(optim, name), "hyperparameters")
}
METHODS = {f"reg.{name}": row.make.factory for name, row in reg.REGULARIZERS.items()}
OTHERS = {
    f"reg.{name}": getattr(reg, name)
    for name in ("check_cross_entropy", "class_losses", "early_stopping", "matching", "regularized")
}
SOURCE = re.compile(r"\(\d{4}|, \d{4}[),;]|\d{4}\)")


def documented(doc: str) -> set[str]:
    """Names before the colons of an Args section; several may share one line, and lines may wrap."""
    section = doc.split("Args:\n")[1].split("\n\n")[0]
    entries = re.findall(r"^ {6}(\w+(?:,\s+\w+)*):", section, flags=re.MULTILINE)
    return {name.strip() for entry in entries for name in entry.split(",")}


@pytest.mark.parametrize("name", [*FACTORIES, *METHODS, *OTHERS])
def test_every_argument_is_documented(name):
    function = {**FACTORIES, **METHODS, **OTHERS}[name]
    assert documented(function.__doc__) == set(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", [*FACTORIES, *OTHERS])
def test_every_factory_shows_itself(name):
    assert ">>> " in {**FACTORIES, **OTHERS}[name].__doc__


@pytest.mark.parametrize("name", [*FACTORIES, *METHODS])
def test_every_method_names_its_source(name):
    doc = {**FACTORIES, **METHODS}[name].__doc__
    paper = reg.REGULARIZERS[name.removeprefix("reg.")].paper if name in METHODS else ""
    assert SOURCE.search(doc) or SOURCE.search(f"({paper})")


@pytest.mark.parametrize("name", [*FACTORIES, *METHODS])
def test_every_interval_is_in_the_docstring(name):
    """As its `Range` prints it, so that the two cannot part."""
    function = {**FACTORIES, **METHODS}[name]
    if "as in `" in function.__doc__:
        pytest.skip("points to where it stands")
    for hparam, valid in function.hyperparameters.items():
        line = re.search(
            rf"^ {{6}}{hparam}: (.*?)(?=^ {{6}}\w+:|^$|\Z)", function.__doc__, re.DOTALL | re.MULTILINE
        )
        assert line is not None, hparam
        said = line.group(1)
        at_least = f">= {valid.low:g}" in said
        assert str(valid) in said or at_least, (hparam, str(valid), said)
