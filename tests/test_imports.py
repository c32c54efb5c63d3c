"""Imports point one way, read off the source: `runs -> hparam -> lr_batch -> reg, optim`, and inside `lr_batch`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [{"optim"}, {"reg"}, {"lr_batch"}, {"hparam"}, {"runs"}]
# From the bottom: a room imports from rooms of lower rows, or from itself.
ROOMS = [
    {"errors", "grid", "schedules"},
    {"problem"},
    {"lanes", "data", "result"},
    {"workloads"},
    {"resolve"},
    {"study"},
    {"engine"},
    {"generalization"},
    {"analysis"},
    {"extension"},
    {"sweep"},
    {"__init__"},
]
IMPURE = {"time", "threading", "os", "queue", "io", "pathlib", "subprocess", "tempfile", "sqlite3"}


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, dotted name) of everything that a file imports, wherever it stands in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def rank(rows: list[set[str]], name: str) -> int:
    return next(i for i, row in enumerate(rows) if name in row)


def upward(package: str, root: Path = ROOT) -> list[str]:
    """Imports that go against the arrows, as "file:line imports name"."""
    wrong = []
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        for line, name in imports(path):
            top, _, rest = name.partition(".")
            where = f"{path.relative_to(root)}:{line} imports {name}"
            if any(top in row for row in PACKAGES) and rank(PACKAGES, top) > rank(PACKAGES, package):
                wrong.append(where)
            room = rest.partition(".")[0]
            inside = package == top == "lr_batch" and parts[1] != room
            if inside and any(room in row for row in ROOMS) and rank(ROOMS, room) >= rank(ROOMS, parts[1]):
                wrong.append(where)
    return wrong


@pytest.mark.parametrize("package", ["optim", "reg", "lr_batch", "hparam", "runs"])
def test_imports_point_down(package):
    assert upward(package) == []


def test_every_room_has_a_place():
    rooms = {
        path.stem
        for path in (ROOT / "lr_batch").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms == set().union(*ROOMS)


def test_what_is_traced_touches_no_clock_thread_or_file():
    touched = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in (ROOT / "lr_batch" / "lanes").glob("*.py")
        for line, name in imports(path)
        if name.partition(".")[0] in IMPURE
    ]
    assert touched == []


def test_an_import_that_goes_up_is_seen(tmp_path):
    room = tmp_path / "lr_batch" / "lanes"
    room.mkdir(parents=True)
    (room / "order.py").write_text(
        "def f():\n    from lr_batch.engine.memory import chunk_memory\n    import runs.curve\n"
    )
    assert [line.split(" imports ")[0] for line in upward("lr_batch", tmp_path)] == [
        "lr_batch/lanes/order.py:2",
        "lr_batch/lanes/order.py:3",
    ]
