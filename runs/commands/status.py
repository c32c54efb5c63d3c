"""`lr-batch status` and `watch`: how far a run is, from another terminal."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from runs.commands.options import Flag

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]


@dataclasses.dataclass(frozen=True)
class Status:
    """Say once how far the run in a folder is, and what it has stored. Only reads, whatever runs there.

    Of a folder of workers (--workers-dir): which chunks wait, who trains which, which are done or have failed.
    """

    needs_devices: ClassVar[bool] = False
    folder: Folder
    json: Flag = False
    """Print it as JSON: state is running, done, interrupted, killed, elsewhere or unknown; of workers, found chunks."""

    def __call__(self) -> None:
        from runs.status.status import status
        from runs.status.watch import told
        from runs.status.work_folder import work_folder_lines
        from runs.text import Printer
        from runs.workers.inventory import Inventory, inventory, is_work_folder
        from runs.write import json_text

        found = inventory(self.folder) if is_work_folder(self.folder) else status(self.folder)
        if self.json:
            print(json_text(found.described))
            return
        say = Printer(sys.stdout)
        for line in work_folder_lines(found) if isinstance(found, Inventory) else told(found):
            say(line)


@dataclasses.dataclass(frozen=True)
class Watch:
    """Show how far the run in a folder is until it ends, or Ctrl-C. Only reads; the run does not notice.

    Of a folder of workers (--workers-dir): until nothing is in it and no worker lives.
    """

    needs_devices: ClassVar[bool] = False
    folder: Folder

    def __call__(self) -> None:
        from runs.status.watch import watch
        from runs.status.work_folder import watch_work_folder
        from runs.workers.inventory import is_work_folder

        (watch_work_folder if is_work_folder(self.folder) else watch)(self.folder)
