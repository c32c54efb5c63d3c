"""Runs of Weights & Biases, written offline; `wandb sync` sends them where one wants that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import wandb  # pyright: ignore[reportMissingImports]  # an extra

from runs.trackers.run import Run

PROJECT = "lr-batch"


def write_runs(runs: Sequence[Run], out: Path) -> None:
    """Each with its configuration, its curve and its outcome as summary."""
    quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True)
    for run in runs:
        with wandb.init(
            project=PROJECT,
            name=run.name,
            group=run.group,
            config=dict(run.config),
            dir=str(out),
            mode="offline",
            settings=quiet,
        ) as written:
            for step, value in run.curve:
                written.log({f"held_out/{run.metric}": value}, step=step)
            written.summary.update({**run.outcome, "status": run.status})
