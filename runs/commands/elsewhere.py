"""Options of commands whose chunks can be trained by other processes."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from runs.commands.options import Flag, optional

if TYPE_CHECKING:
    from runs.workers.folder import WorkFolder
    from runs.workers.hand_out import FolderHandOut
    from runs.workers.specification import Tuned


@dataclasses.dataclass(frozen=True)
class ElsewhereOptions:
    """Who trains."""

    workers_dir: Annotated[Path | None, optional("DIR")] = None
    """Hand the chunks to the processes `lr-batch worker DIR`, on any machine that sees this folder. Default: train
    here."""
    ray: Annotated[str | None, optional("auto|ADDRESS")] = None
    """Have a Ray cluster train the chunks: auto for the one on this machine, or its address. Needs lr-batch[ray]."""
    allow_mixed: Flag = False
    """Take trials of workers with other devices or versions too, and mark them."""

    @contextlib.contextmanager
    def hand_outs(
        self, workload: str, optimizers: Mapping[str, str], *, tuned: Tuned | None = None
    ) -> Generator[dict[str, FolderHandOut], None, None]:
        """Who the chunks of each study are handed to; empty where this process trains.

        Args:
          workload: as it was typed.
          optimizers: of each study, as they were typed, by the name of the study.
          tuned: of a search.

        Raises:
          runs.workers.errors.WorkersError: at the end, where a worker died with a chunk too often; all else is
            finished by then.
        """
        if self.workers_dir is None and self.ray is None:
            if self.allow_mixed:
                raise ValueError(
                    "--allow-mixed: is for studies that others train; give --workers-dir or --ray too"
                )
            yield {}
            return
        from runs.interrupts import say
        from runs.workers.errors import WorkersError
        from runs.workers.hand_out import FolderHandOut
        from runs.workers.specification import Sources

        with self._folder() as (folder, check):
            options = {"tuned": tuned, "allow_mixed": self.allow_mixed, "say": say, "check": check}
            handed = {
                name: FolderHandOut(folder, Sources(workload, optimizer), **options)
                for name, optimizer in optimizers.items()
            }
            try:
                yield handed
            finally:
                for one in handed.values():
                    one.end()
        given_up = [line for one in handed.values() for line in one.given_up]
        if given_up:
            raise WorkersError("; ".join(given_up))

    @contextlib.contextmanager
    def _folder(self) -> Generator[tuple[WorkFolder, Callable[[], None]], None, None]:
        """Where the chunks lie, and what raises where nobody can take them any more."""
        from runs.workers.folder import WorkFolder

        with contextlib.ExitStack() as stack:
            path = self.workers_dir or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="lr-batch-"))
            )
            folder, check = WorkFolder(path), lambda: None
            if self.ray is not None:
                from runs.workers.ray_hand_out import ray_bridge

                check = stack.enter_context(ray_bridge(self.ray, path))
            yield folder, check
