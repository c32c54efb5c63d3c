"""Files of a user that have the name of a package of ours, and would be imported in its place."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def refuse_namesakes(names: Iterable[str]) -> None:
    """Python finds what lies beside a script before what is installed.

    Raises:
      ImportError: one line with the file in the way.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found and found.parent != ROOT / name:
            raise ImportError(
                f"lr_batch needs its own package {name!r}, and {found} is found in its place: "
                "rename that file or folder, or run from elsewhere"
            )
