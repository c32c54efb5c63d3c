"""The result of a study, or of a part of it, from its trials."""

from __future__ import annotations

from collections.abc import Iterable

from lr_batch.result import EngineReport, Result, Trial, longest_trials
from lr_batch.study import Study

NOTHING_DONE = EngineReport(0.0, 0.0, 0, 0, "", 0, 0.0)


def result_of(study: Study, trials: Iterable[Trial], engine: EngineReport = NOTHING_DONE) -> Result:
    """Of each trial the longest one counts; `engine` is what the machine did for all of them."""
    return Result.from_trials(
        longest_trials(trials),
        workload=study.workload.name,
        optimizer=study.optimizer_name,
        goal=study.goal,
        time_constant=study.time_constant,
        budget=study.budget,
        hparams=study.space,
        schedule=study.schedule,
        batch_schedule=study.batch_schedule,
        searched=study.design and study.design.searched,
        grid_trials=study.num_trials if study.follow else None,
        engine=engine,
    )
