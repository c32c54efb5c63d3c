"""Hands the trials of a folder to a tracker."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from runs.export import Exported, trials_of
from runs.store import StoreError
from runs.trackers.run import BY_BATCH_SIZE, BY_TRIAL, Run, runs_of

# Extra: package that it brings
TRACKERS = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}
EACH = (BY_TRIAL, BY_BATCH_SIZE)


def export_runs(
    directory: str | os.PathLike[str], out: str | os.PathLike[str], tracker: str, each: str = BY_TRIAL
) -> Exported:
    """Writes the intact trials of the folder `directory` as runs into the folder `out`; nothing is sent anywhere.

    Args:
      directory: folder of any command that trains; it is only read, and may be in use.
      out: a folder, new or empty: `tensorboard --logdir OUT`; `wandb sync OUT/wandb/offline-run-*`; `mlflow ui
        --backend-store-uri OUT`.
      tracker: "tensorboard", "wandb" or "mlflow", each an extra: `pip install 'lr-batch[tensorboard]'`.
      each: a run for each "trial", or for each "batch-size" that of its best trial.

    Raises:
      ValueError: an unknown tracker, or an `out` with something in it.
      StoreError: nothing to read, or the tracker's package is not installed.
    """
    if tracker not in TRACKERS or each not in EACH:
        raise ValueError(f"export: a tracker is one of {', '.join(TRACKERS)}, for each of {', '.join(EACH)}")
    place = Path(out)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ValueError(
            f"export: {place} must be a new or empty folder, runs there would be mixed with these"
        )
    try:
        import_module(TRACKERS[tracker])
    except ImportError as error:
        raise StoreError(
            f"export to {tracker} needs {TRACKERS[tracker]} ({error}): pip install 'lr-batch[{tracker}]'"
        ) from error
    write: Callable[[Sequence[Run], Path], None] = import_module(f"runs.trackers.to_{tracker}").write_runs
    table, damage = trials_of(Path(directory))
    runs = runs_of(table, Path(directory), each)
    place.mkdir(parents=True, exist_ok=True)
    write(runs, place)
    return Exported(len(runs), damage)
