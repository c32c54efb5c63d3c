"""Runs of MLflow in a file store."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from runs.trackers.run import Run

os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer ones ask before they write to a folder

from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]  # an extra
from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]  # an extra

BATCH = 1_000  # metrics that MLflow takes at a time


def write_runs(runs: Sequence[Run], out: Path) -> None:
    """All in one experiment with the name of the folder they come from."""
    client, now = MlflowClient(tracking_uri=out.resolve().as_uri()), int(time.time() * 1000)
    experiment = client.create_experiment(runs[0].group if runs else "lr-batch")
    for run in runs:
        made = client.create_run(experiment, run_name=run.name, tags={"status": run.status}).info.run_id
        client.log_batch(made, params=[Param(name, str(value)) for name, value in run.config.items()])
        metrics = [Metric(f"held_out_{run.metric}", value, now, step) for step, value in run.curve]
        metrics += [Metric(name, value, now, 0) for name, value in run.outcome.items()]
        for first in range(0, len(metrics), BATCH):
            client.log_batch(made, metrics=metrics[first : first + BATCH])
        client.set_terminated(made)
