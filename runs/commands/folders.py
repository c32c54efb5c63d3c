"""`lr-batch report` and `lr-batch export`: what a study's folder holds, again and for others."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]


@dataclasses.dataclass(frozen=True)
class Report:
    """Draw the figures and report.html of a study again from its store, without training anything."""

    folder: Folder

    def __call__(self) -> None:
        from runs.curve.run import stored_result, write_outcome
        from runs.curve.table import print_outcome

        result = stored_result(self.folder)
        print_outcome(result, write_outcome(result, self.folder), sys.stdout)


@dataclasses.dataclass(frozen=True)
class Export:
    """Write the trials of a study as a table."""

    folder: Folder
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The file to write; its ending is the format: .csv, .json or .parquet."""
    format: Literal["csv", "json", "parquet"] | None = None
    """Where the ending does not say it."""

    def __call__(self) -> None:
        from runs.export import export

        rows = export(self.folder, self.out, self.format or self.out.suffix.lstrip("."))
        print(f"{rows} trials written to {self.out}")
