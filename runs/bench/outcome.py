"""What a benchmark leaves behind: bench.json, its figure, its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runs.bench.figures import bench
from runs.bench.report import write_report
from runs.kept_json import read_kept, write_kept
from runs.store import StoreError

NAME = "bench.json"


def write_outcome(report: Mapping[str, Any], folder: Path) -> None:
    write_kept(folder / NAME, report)
    bench(report, folder / "bench.png")
    write_report(report, folder)


def stored_report(folder: Path) -> dict[str, Any]:
    """What `write_outcome` has written."""
    try:
        return read_kept(folder / NAME)
    except FileNotFoundError:
        raise StoreError(
            f"{folder}: no {NAME}: the benchmark did not come to its end; run it again"
        ) from None
    except ValueError:
        raise StoreError(f"{folder / NAME}: damaged; run the benchmark again") from None
