"""Event files of TensorBoard, one folder for each run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorboardX  # pyright: ignore[reportMissingImports]  # an extra
from tensorboardX.summary import hparams  # pyright: ignore[reportMissingImports]

from runs.trackers.run import Run


def write_runs(runs: Sequence[Run], out: Path) -> None:
    """The curve as a scalar; configuration and outcome for the tab of hyperparameters."""
    for run in runs:
        with tensorboardX.SummaryWriter(str(out / run.name), write_to_disk=True) as writer:
            for step, value in run.curve:
                writer.add_scalar(f"held_out/{run.metric}", value, step)
            metrics = {f"outcome/{name}": value for name, value in run.outcome.items()}
            # Its own add_hparams opens a second file, which has the same name within one second.
            for summary in hparams({**run.config, "status": run.status}, metrics):
                writer.file_writer.add_summary(summary)  # pyright: ignore[reportOptionalMemberAccess]
            for name, value in metrics.items():
                writer.add_scalar(name, value)
