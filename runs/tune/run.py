"""A search's folder: its store, with progress on stderr."""

from __future__ import annotations

import re
from pathlib import Path

from hparam.tuning.plan import TuningPlan
from hparam.tuning.tune import Tuning, tune
from lr_batch import check
from runs.curve.run import RESULTS
from runs.store import Store
from runs.tune.live import LiveBest


def default_folder(plan: TuningPlan) -> Path:
    """`lr-batch-results/tune-WORKLOAD-OPTIMIZER-SEARCH-HASH`."""
    study = plan.study
    name = re.sub(r"[^\w.-]+", "_", f"tune-{study.workload.name}-{study.optimizer_name}-{plan.search}")[:80]
    return RESULTS / f"{name}-{plan.hash}"


def tune_in_folder(plan: TuningPlan, folder: Path | None = None) -> tuple[Path, Tuning]:
    """Runs what is missing of the search in its folder.

    Raises:
      runs.store.StoreError: if the folder cannot be used or holds another search.
      KeyboardInterrupt: with all that is finished stored.
    """
    check(plan.study, to_goal=plan.to_goal)  # before a folder is made for what cannot be trained
    folder = default_folder(plan) if folder is None else folder
    with Store(folder) as store:
        store.describe(plan.description)
        with LiveBest(plan) as live:
            return folder, tune(plan, store, live)
