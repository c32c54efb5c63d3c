"""Puts the reference into the site: every name that a package lists, from where it is defined.

By the package alone a function would be taken for the module that has its name, such as `optim.adam`.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", re.MULTILINE)  # until a blank line


def on_page_markdown(markdown, page, config, files):
    folder, _, name = page.file.src_uri.partition("/")
    return (
        reference_of(importlib.import_module(name.removesuffix(".md"))) if folder == "reference" else markdown
    )


def reference_of(package: Any) -> str:
    """A page with a heading for each function and class; constants are told where they are used."""
    things = {name: getattr(package, name) for name in package.__all__}
    defined = [
        f"::: {thing.__module__}.{name}"
        for name, thing in things.items()
        if callable(thing) and is_named(thing, name)
    ]
    return "\n\n".join(
        [f"# {package.__name__}", package.__doc__.partition("\n\n")[0], *sorted(defined, key=last)]
    )


def is_named(thing: Any, name: str) -> bool:
    return getattr(thing, "__name__", None) == name and hasattr(thing, "__module__")


def last(place: str) -> str:
    return place.rpartition(".")[2].lower()


class Examples(griffe.Extension):
    """Doctests as code. In the text of a docstring `>>>` would be three quotations within each other."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(fenced, obj.docstring.value)


def fenced(example: re.Match) -> str:
    indent = example[1]
    return f"{indent}```pycon\n{example[0]}\n{indent}```"
