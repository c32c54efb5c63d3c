"""`lr-batch data`: data sets for machines that cannot download them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class Data:
    """Write a TFDS data set from files that are on this machine."""

    action: Annotated[Literal["prepare"], tyro.conf.Positional]
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """mnist or fashion_mnist (IDX files, plain or gzipped), or cifar10 (its binary version)."""
    source: Annotated[Path, tyro.conf.arg(name="from", metavar="DIR")]
    """Folder of the files."""

    def __call__(self) -> None:
        from runs.data import prepare

        print(prepare(self.name, self.source))
