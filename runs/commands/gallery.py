"""`lr-batch gallery`: the figures of a lecture on tuning."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from runs.commands.options import Flag, Quiet, optional

if TYPE_CHECKING:
    from runs.gallery.entry import Entry
    from runs.gallery.make import Made


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Make the figures of a lecture on tuning, each from a real training, and a page that shows them.

    Ten minutes on two cores. What is made is not made again, unless its recipe or a version has changed.
    """

    only: Annotated[str | None, optional("NAME")] = None
    """One figure, or several separated by commas. Default: all but nine_panels, which takes hours."""
    quick: Flag = False
    """A few steps and seeds: to try the code, numbers mean nothing."""
    out: Annotated[Path | None, optional("DIR")] = None
    """Folder of the page and the figures. Default: ./lr-batch-results/gallery, or gallery-quick."""
    quiet: Quiet = False

    def __call__(self) -> None:
        from runs.folder import RESULTS
        from runs.gallery.make import made, make
        from runs.gallery.page import PAGE, write_page
        from runs.gallery.registry import ENTRIES
        from runs.progress import duration

        folder = self.out or RESULTS / ("gallery-quick" if self.quick else "gallery")
        chosen = self._chosen()
        folder.mkdir(parents=True, exist_ok=True)
        found: dict[str, Made] = {}
        for entry, figure in make(chosen, folder, quick=self.quick):
            print(f"{entry.name}: {entry.said(figure.numbers)}\n", flush=True)
            found = {each.name: kept for each in ENTRIES if (kept := made(each, folder))}
            write_page(ENTRIES, found, folder)
        taken = sum(figure.seconds or 0.0 for figure in found.values())
        print(f"{len(found)} of {len(ENTRIES)} figures, made in {duration(taken)}")
        print((folder / PAGE).resolve())

    def _chosen(self) -> list[Entry]:
        from optim.names import unknown
        from runs.gallery.registry import ENTRIES

        by_name = {entry.name: entry for entry in ENTRIES}
        whole = [entry.name for entry in ENTRIES if not entry.long]
        names = whole if self.only is None else [name.strip() for name in self.only.split(",")]
        for name in names:
            if name not in by_name:
                raise ValueError(f"--only: {unknown('figure', name, by_name)}")
        return [by_name[name] for name in names]
