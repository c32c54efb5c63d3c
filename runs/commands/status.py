"""`lr-batch status` and `watch`: how far a run is, from another terminal."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]


@dataclasses.dataclass(frozen=True)
class Status:
    """Say once how far the run in a folder is, and what it has stored. Only reads, whatever runs there."""

    needs_devices: ClassVar[bool] = False
    folder: Folder
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print it as JSON: state is running, done, interrupted, killed, elsewhere or unknown."""

    def __call__(self) -> None:
        from runs.status.status import status
        from runs.status.watch import told
        from runs.text import Printer
        from runs.write import json_text

        found = status(self.folder)
        if self.json:
            print(json_text(found.described))
            return
        say = Printer(sys.stdout)
        for line in told(found):
            say(line)


@dataclasses.dataclass(frozen=True)
class Watch:
    """Show how far the run in a folder is until it ends, or Ctrl-C. Only reads; the run does not notice."""

    needs_devices: ClassVar[bool] = False
    folder: Folder

    def __call__(self) -> None:
        from runs.status.watch import watch

        watch(self.folder)
