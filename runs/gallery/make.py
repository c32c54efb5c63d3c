"""Makes the figures that are missing or out of date; each is a PNG and a JSON file, written when it is done."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import io
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

import lr_batch
from runs.folder import KEPT
from runs.gallery.entry import Entry, Kept, kept
from runs.progress import say_progress
from runs.write import json_text, write_atomically

WORK = "work"  # folder of what the recipes leave beside their figures, such as stores


class Made(NamedTuple):
    """A figure that is made: what its caption says, of which version, what it ran with and in how many seconds."""

    numbers: dict[str, Kept]
    version: str
    quick: bool
    made_with: str
    seconds: float | None = None


def make(entries: Sequence[Entry], folder: Path, *, quick: bool = False) -> Iterator[tuple[Entry, Made]]:
    """Each entry with its figure, made now where it was not; what is finished is kept, whatever happens next.

    Raises:
      KeyboardInterrupt: saying so.
    """
    for number, entry in enumerate(entries, 1):
        done = made(entry, folder, quick=quick)
        if done is None:
            takes = "quick form" if quick else f"about {entry.time}"
            say_progress(f"{number}/{len(entries)} {entry.name}: {takes}")
            try:
                done = made_now(entry, folder, quick=quick)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(KEPT) from None
        yield entry, done


def made(entry: Entry, folder: Path, *, quick: bool | None = None) -> Made | None:
    """The figure as it lies in `folder`; None where there is none of this version, or it lacks a number.

    With `quick` None either form will do.
    """
    try:
        found = Made(**json.loads((folder / f"{entry.name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    current = found.version == version(entry, found.quick) and quick in (None, found.quick)
    whole = entry.fields <= found.numbers.keys() and (folder / f"{entry.name}.png").exists()
    return found if current and whole else None


def made_now(entry: Entry, folder: Path, *, quick: bool) -> Made:
    """Runs the recipe; the record is written last, since it says that all is there."""
    now, began = version(entry, quick), time.monotonic()
    out = folder / WORK / f"{entry.recipe.rpartition('.')[2]}-{now[:8]}"
    out.parent.mkdir(parents=True, exist_ok=True)
    target = out / entry.figure if entry.figure else out.with_suffix(".png")
    with contextlib.redirect_stdout(io.StringIO()):
        result = importlib.import_module(entry.recipe).main(str(out if entry.figure else target), quick=quick)
    jax.clear_caches()  # the programs of thirty recipes are not needed at once
    numbers = {name: kept(number) for name, number in entry.numbers(result).items()}
    done = Made(numbers, now, quick, made_with(), round(time.monotonic() - began, 1))
    write_atomically(folder / f"{entry.name}.png", small_png(target))
    write_atomically(folder / f"{entry.name}.json", json_text(done._asdict()).encode())
    return done


def version(entry: Entry, quick: bool) -> str:
    """Changes with the recipe, with those that it imports, with the versions, and with the form."""
    digest = hashlib.sha256(repr((lr_batch.__version__, jax.__version__, quick)).encode())
    for name in sorted(sources(entry.recipe)):
        digest.update(code(Path(origin(name)).read_text()).encode())
    return digest.hexdigest()


def code(source: str) -> str:
    """What a module does: without comments, docstrings and layout, which change no figure."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.unparse(tree)


def sources(module: str) -> set[str]:
    """The recipe and all recipes of its package that it imports, directly or not."""
    package = module.rpartition(".")[0]
    found, left = set(), {module}
    while left:
        name = left.pop()
        found.add(name)
        imported = _imported(ast.parse(Path(origin(name)).read_text()))
        left |= {other for other in imported if other.rpartition(".")[0] == package} - found
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    """Modules in `from X import Y`, which Y may be as well as X."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def origin(module: str) -> str:
    """The file of a module, which is not imported."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"gallery: there is no module {module}")
    return spec.origin


def about(entry: Entry) -> str:
    """What the recipe says of itself: command, time, and the number to expect."""
    tree = ast.parse(Path(origin(entry.recipe)).read_text())
    mains = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    texts = [ast.get_docstring(node) or "" for node in (tree, *mains)]
    return "\n\n".join(text.partition("\n\nArgs:")[0].partition("\n\nReturns:")[0] for text in texts)


def made_with() -> str:
    return f"lr-batch {lr_batch.__version__}, JAX {jax.__version__}, {jax.devices()[0].platform.upper()}"


def small_png(path: Path) -> bytes:
    """The figure in at most 256 colours, which halves its bytes and is not to be seen."""
    from PIL import Image

    buffer = io.BytesIO()
    flat: Any = Image.open(path).convert("RGB")
    flat.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
