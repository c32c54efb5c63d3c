"""`lr-batch worker`: trains the chunks that studies hand out through a shared folder."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from runs import parse
from runs.commands.folders import Folder
from runs.commands.options import WHOLE, Flag, optional


@dataclasses.dataclass(frozen=True)
class Worker:
    """Train the chunks that `curve`, `compare` and `tune` hand out with --workers-dir DIR.

    Start as many as there are machines; DIR must be seen by all of them. Ctrl-C and SIGTERM keep the lanes of the chunks
    in flight and give them back.
    """

    folder: Folder
    once: Flag = False
    """End as soon as nothing waits. Without it: go on looking."""
    idle: Annotated[str | None, optional("TIME")] = None
    """End when nothing has waited for this time, such as 10m."""
    max_chunks: Annotated[int | None, WHOLE, optional("INT")] = None
    """End after so many chunks."""
    time_limit: Annotated[str | None, optional("TIME")] = None
    """End after this time, such as 2h or 90m; chunks in flight are given back with what they have reached."""
    slots: Annotated[int | None, WHOLE, optional("INT")] = None
    """Chunks at a time. Default: one for each accelerator, or for each core."""
    device: Annotated[str | None, optional("cpu|gpu:0")] = None
    """Where to train: cpu, gpu for all of them, gpu:0 for one. Default: what JAX finds."""

    def __call__(self) -> None:
        from runs.interrupts import say
        from runs.workers.folder import WorkFolder
        from runs.workers.worker import Limits, Worker

        for option, value in (("--max-chunks", self.max_chunks), ("--slots", self.slots)):
            if value is not None and value < 1:
                raise parse.UsageError(f"{option}: must be at least 1, got {value}")
        if self.once and self.idle is not None:
            raise parse.UsageError("--once and --idle: give one of them")
        limits = Limits(
            chunks=self.max_chunks or float("inf"),
            seconds=_time("--time-limit", self.time_limit),
            idle=0.0 if self.once else _time("--idle", self.idle),
        )
        worker = Worker(WorkFolder(self.folder), limits, slots=self.slots, say=say)
        try:
            delivered = worker.run()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{worker.delivered} chunks delivered, those in flight given back"
            ) from None
        print(f"{delivered} chunks delivered")


def _time(option: str, text: str | None) -> float:
    return float("inf") if text is None else parse.seconds(option, text)
