"""Imports point one way, read off the source: `runs -> hparam -> lr_batch -> reg, optim`, and inside `lr_batch`.

From outside, `lr_batch` is what its `__init__` lists and the four sub-packages that its docstring declares public;
`lr_batch.engine` among them, by which `hparam.tuning`, `runs.store` and `runs.bench` reach the compiled chunk.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import lr_batch
import lr_batch.data
import lr_batch.engine
import lr_batch.schedules
import lr_batch.workloads

ROOT = Path(__file__).parents[1]
PACKAGES = [{"optim"}, {"reg"}, {"lr_batch"}, {"hparam"}, {"runs"}]
# From the bottom: a room imports from rooms of lower rows, or from itself.
ROOMS = [
    {"compiled", "design", "errors", "grid", "namesakes", "schedules"},
    {"fields"},
    {"problem"},
    {"lanes", "data", "result"},
    {"workloads"},
    {"resolve"},
    {"study"},
    {"checks", "outcome"},
    {"engine"},
    {"generalization"},
    {"analysis"},
    {"extension", "following", "forecast", "noise", "search_loss"},
    {"rounds", "run_arguments", "tally"},
    {"sweep"},
    {"proposal"},
    {"__init__"},
]
PUBLIC = {
    name: set(door.__all__)
    for name, door in {
        "lr_batch": lr_batch,
        "lr_batch.data": lr_batch.data,
        "lr_batch.engine": lr_batch.engine,
        "lr_batch.schedules": lr_batch.schedules,
        "lr_batch.workloads": lr_batch.workloads,
    }.items()
}
# Tests of behaviour keep to the public names too. Excepted are what a test looks at from inside, the shapes of the fit,
# from which studies are made up to calibrate it, and the plan of following, which is replayed.
OUTSIDE = ["hparam", "runs", "tests/hparam", "tests/optim", "tests/runs"]
LOOKED_INTO = {
    "lr_batch.analysis.rate_shapes",
    "lr_batch.following.to_measure",
    "lr_batch.workloads.patch_conv.lane_by_lane",
    "lr_batch.workloads.patch_conv.of_patches",
}
IMPURE = {"time", "threading", "os", "queue", "io", "pathlib", "subprocess", "tempfile", "sqlite3"}


def imports(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, dotted name) of everything that is imported, wherever it stands in the file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def attributes(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, dotted name) of every attribute that is looked up in a module, such as `lr_batch.engine.Chunk`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"lr_batch\.[\w.]+$", ast.unparse(node)):
            found.append((node.lineno, ast.unparse(node)))
    return found


def is_public(name: str) -> bool:
    """Whether a dotted name is a door, or in the list of one; what hangs on a listed name is its own affair."""
    if name in PUBLIC:
        return True
    door = max((door for door in PUBLIC if name.startswith(f"{door}.")), key=len)
    return name.removeprefix(f"{door}.").partition(".")[0] in PUBLIC[door]


def crossings(source: str, where: str) -> list[str]:
    """Uses of what `lr_batch` keeps to itself, as "file:line uses name"."""
    tree = ast.parse(source)
    used = [pair for pair in imports(tree) if pair[1].partition(".")[0] == "lr_batch"] + attributes(tree)
    return [
        f"{where}:{line} uses {name}"
        for line, name in sorted(used)
        if not is_public(name) and name not in LOOKED_INTO
    ]


def rank(rows: list[set[str]], name: str) -> int:
    return next(i for i, row in enumerate(rows) if name in row)


def upward(package: str, root: Path = ROOT) -> list[str]:
    """Imports that go against the arrows, as "file:line imports name"."""
    wrong = []
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        for line, name in imports(ast.parse(path.read_text())):
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


@pytest.mark.parametrize("folder", OUTSIDE)
def test_only_public_names_are_used_from_outside(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert [line for path in files for line in crossings(path.read_text(), str(path.relative_to(ROOT)))] == []


def test_readme_uses_public_names():
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 3 and [line for block in blocks for line in crossings(block, "README.md")] == []


@pytest.mark.parametrize(
    "line",
    [
        "from lr_batch.sweep import _Sweep",
        "from lr_batch.engine.memory import chunk_width",
        "from lr_batch.engine import memory",
        "from lr_batch import sweep",
        "import lr_batch.analysis.optimum",
        "width = lr_batch.engine.memory.chunk_width",
        "made = lr_batch.sweep.run",
    ],
)
def test_a_private_use_is_seen(line):
    source = f"import lr_batch\n{line}\n"
    assert {found.partition(" uses ")[0] for found in crossings(source, "x.py")} == {"x.py:2"}
    assert (
        crossings(
            "from lr_batch.engine import Chunk\nimport lr_batch\nlr_batch.data.read_idx, lr_batch.Study", ""
        )
        == []
    )


@pytest.mark.parametrize("door", PUBLIC)
def test_what_is_listed_is_there(door):
    assert [name for name in PUBLIC[door] if not hasattr(sys.modules[door], name)] == []


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
        for line, name in imports(ast.parse(path.read_text()))
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
