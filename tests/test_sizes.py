"""Modules and functions stay small enough to be read at once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["optim", "reg", "lr_batch", "hparam", "runs"]
MODULE_MAX, FUNCTION_MAX = (
    300,
    60,
)  # lines; a function's are counted without its docstring and the functions inside it
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    inner = [node for node in function.body if isinstance(node, FUNCTION)]
    documented = ast.get_docstring(function) is not None
    left_out = [*inner, *(function.body[:1] if documented else [])]
    return lines(function) - sum(lines(node) for node in left_out)


def lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def too_long(source: str, where: str) -> list[str]:
    """What is too long in a module, as "file: what, lines"."""
    found = [f"{where}: module, {count} lines"] if (count := len(source.splitlines())) > MODULE_MAX else []
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, FUNCTION)]
    return found + [f"{where}: {f.name}, {n} lines" for f in functions if (n := own_lines(f)) > FUNCTION_MAX]


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_and_functions_are_short(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert (
        files
        and [line for path in files for line in too_long(path.read_text(), str(path.relative_to(ROOT)))] == []
    )


def test_what_is_too_long_is_seen():
    body = "    x = 0\n" * 60
    docstring = '    """One.\n\n    Two.\n    """\n'
    assert too_long(f"def f():\n{docstring}" + body[:-10], "x.py") == []
    assert too_long(f"def f():\n{body}", "x.py") == ["x.py: f, 61 lines"]
    nested = f"def f():\n    def g():\n        return 0\n\n{body[:-10]}"
    assert too_long(nested, "x.py") == ["x.py: f, 61 lines"]  # with the line between the two
    assert too_long("x = 0\n" * 301, "x.py") == ["x.py: module, 301 lines"]
