"""Files and modules of a user: whatever runs as `python FILE.py` loads."""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from runs.parse import UsageError

PACKAGE = "__init__.py"


def named_or_loaded(what: str, text: str) -> Any:
    """A name of the registry as it is, or the object that "FILE.py:NAME" or "PACKAGE.MODULE:NAME" names.

    Raises:
      UsageError: if the file, the module or the name is not there, or running it fails.
    """
    place, colon, name = text.rpartition(":")
    if not colon and ".py" not in text:
        return text
    if not (place and name.isidentifier()):
        raise UsageError(
            f"{what}: must be a registered name or look like FILE.py:NAME or PACKAGE.MODULE:NAME, got {text!r}"
        )
    module = _file(what, Path(place)) if place.endswith(".py") else _module(what, place)
    if not hasattr(module, name):
        own = [known for known in vars(module) if not known.startswith("_")]
        raise UsageError(f"{what}: {place!r} has no {name!r}{_nearest(name, own)}")
    return getattr(module, name)


def _module(what: str, name: str) -> ModuleType:
    """A module found from the working directory, as by `python -m`."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{what}: must look like FILE.py:NAME or PACKAGE.MODULE:NAME, got {name!r}")
    _search(Path.cwd())
    with _one_line_for(f"{what}: importing {name}"), _back_here():
        return importlib.import_module(name)


def _file(what: str, path: Path) -> ModuleType:
    """The file as a module: of its package where it imports relatively, else on its own, as a script."""
    if not path.is_file():
        raise UsageError(f"{what}: there is no file {str(path)!r}")
    shown, path = str(path), path.absolute()
    with _one_line_for(f"{what}: running {shown!r}"):
        levels = _levels_up(path)
    relative, root = levels > 0, _root(path.parent)
    if relative and root == path.parent:  # folders without __init__.py are packages too
        root = path.parents[min(levels, len(path.parents) - 1)]
    # In the order of a script: its own folder, then what makes its package known, then where we are.
    for folder in (Path.cwd(), root, path.parent):
        if folder != path.parent or not relative:
            _search(folder)
    name = ".".join((path.relative_to(root) if relative else Path(path.name)).with_suffix("").parts)
    with _one_line_for(f"{what}: running {shown!r}"), _back_here():
        if relative:
            importlib.import_module(name.rpartition(".")[0])
        return _run(path, name)


def _run(path: Path, name: str) -> ModuleType:
    """Runs the file, once in a process as long as it stays the same."""
    known, stamp = sys.modules.get(name), (str(path), path.stat().st_mtime_ns, path.stat().st_size)
    if known and getattr(known, "_lr_batch_file", None) == stamp:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader  # as the suffix is .py
    module = importlib.util.module_from_spec(spec)
    vars(module)["_lr_batch_file"] = stamp
    # Dataclasses and pickles look their module up by name. A name that is taken stays with whom it belongs to.
    ours = known is None or hasattr(known, "_lr_batch_file")
    if ours:
        sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if ours:
            del sys.modules[name]
        raise
    return module


def _root(folder: Path) -> Path:
    """The folder that holds the outermost package of `folder`; itself where it is no package."""
    while (folder / PACKAGE).is_file() and folder.name.isidentifier() and folder != folder.parent:
        folder = folder.parent
    return folder


def _levels_up(path: Path) -> int:
    """Most dots with which the file imports; 0 where it imports as a script may."""
    tree = ast.parse(path.read_bytes(), filename=str(path))
    return max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)


def _search(folder: Path) -> None:
    """Puts the folder first on the path; it stays there, for imports within functions that are called later."""
    importlib.import_module("hparam")  # ours, whatever the folder has by that name: commands import it later

    with contextlib.suppress(ValueError):
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))


@contextlib.contextmanager
def _one_line_for(what: str) -> Generator[None, None, None]:
    """The user's own code may raise whatever it likes, and leave the process too."""
    try:
        yield
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:
        from lr_batch import first_line

        raise UsageError(f"{what} failed: {first_line(error)}") from error


@contextlib.contextmanager
def _back_here() -> Generator[None, None, None]:
    """Scripts often go to the folder of their data; results belong where the command was typed."""
    here = os.getcwd()
    try:
        yield
    finally:
        os.chdir(here)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
