"""A search's folder: its store, with progress on stderr."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hparam.tuning.plan import TuningPlan
from hparam.tuning.tune import Tuning, tune
from lr_batch import check
from runs.curve.run import known_width
from runs.folder import default_folder, results
from runs.status.news import telling
from runs.tune.live import LiveBest
from runs.tune.stored import asked
from runs.workers.hand_out import FolderHandOut

FRESH = "fresh seeds begin at "  # event of the store


def search_folder(plan: TuningPlan) -> Path:
    """`lr-batch-results/tune-WORKLOAD-OPTIMIZER-SEARCH-HASH`."""
    names = (plan.study.workload.name, plan.study.optimizer_name, plan.search)
    return default_folder("tune", names, plan.description)


def tune_in_folder(
    plan: TuningPlan, folder: Path | None = None, hand_out: FolderHandOut | None = None
) -> tuple[Path, Tuning]:
    """Runs what is missing of the search in its folder; `hand_out` trains its chunks, this process where None.

    Raises:
      runs.store.StoreError: if the folder cannot be used or holds another search.
      KeyboardInterrupt: with all that is finished stored.
    """
    check(plan.study, to_goal=plan.to_goal)  # before a folder is made for what cannot be trained
    folder = search_folder(plan) if folder is None else folder
    with results(folder, "tune", plan.description) as store:
        title = f"{plan.study.workload.name} with {plan.study.optimizer_name}, {plan.search}"
        with telling(folder, title) as teller, LiveBest(plan, tell=teller.say) as live:
            if hand_out is not None:
                hand_out.trained_on = hand_out.trained_on or store.device
            tuning = tune(plan, store, live, width=known_width(store), hand_out=hand_out)
        for event in (f"{FRESH}{first_fresh_seed(tuning)}", asked(plan)):
            if event not in store.events[-2:]:
                store.record(event)
    return folder, tuning


def first_fresh(events: Iterable[str]) -> int | None:
    """What the events of a store say of a finished search: the first seed that the search has not seen."""
    said = [event.removeprefix(FRESH) for event in events if event.startswith(FRESH)]
    return int(said[-1]) if said else None


def first_fresh_seed(tuning: Tuning) -> int:
    """The first of the seeds that the search itself has not seen."""
    return (
        tuning.plan.first_seed
        + 1
        + max((segment.repeat for segment in tuning.state.segments.values()), default=-1)
    )
