"""Options of commands whose chunks can be trained by other processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from runs.commands.options import optional

if TYPE_CHECKING:
    from runs.workers.hand_out import FolderHandOut


@dataclasses.dataclass(frozen=True)
class ElsewhereOptions:
    """Who trains."""

    workers_dir: Annotated[Path | None, optional("DIR")] = None
    """Hand the chunks to the processes `lr-batch worker DIR`, on any machine that sees this folder. Default: train
    here."""
    allow_mixed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Take trials of workers with other devices or versions too, and mark them."""

    def hand_outs(self, workload: str, optimizers: Mapping[str, str]) -> dict[str, FolderHandOut]:
        """Who the chunks of each study are handed to; empty where this process trains.

        Args:
          workload: as it was typed.
          optimizers: of each study, as they were typed, by the name of the study.
        """
        if self.workers_dir is None:
            if self.allow_mixed:
                raise ValueError("--allow-mixed: is for studies that others train; give --workers-dir too")
            return {}
        from runs.interrupts import say
        from runs.workers.folder import WorkFolder
        from runs.workers.hand_out import FolderHandOut
        from runs.workers.specification import Sources

        folder = WorkFolder(self.workers_dir)
        return {
            name: FolderHandOut(folder, Sources(workload, optimizer), allow_mixed=self.allow_mixed, say=say)
            for name, optimizer in optimizers.items()
        }


def refuse_given_up(hand_outs: Iterable[FolderHandOut]) -> None:
    """Raises `WorkersError` where a worker died with a chunk too often; all else is finished by then."""
    from runs.workers.errors import WorkersError

    given_up = [line for handed in hand_outs for line in handed.given_up]
    if given_up:
        raise WorkersError("; ".join(given_up))
