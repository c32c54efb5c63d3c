"""The noise scale of a study of `lr-batch curve`: of one trial at its best setting, trained after all others.

The trial is that of the batch size nearest to the critical one, at the best setting there and with the first seed.
Square norms of the parts of every batch tell the scale (`lr_batch.noise.training`); scales in other norms would cost more
than a tenth of a small study and are left to `lr-batch noise-scale`.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from pathlib import Path
from typing import Any

from lr_batch import Result, Study, StudyError, best_settings, critical_batch_size, noise_along_training
from runs.kept_json import read_kept, write_kept
from runs.noise.run import described
from runs.write import plain

NAME = "noise_scale.json"


def measure_beside(study: Study, result: Result, folder: Path) -> None:
    """Measures the noise scale at the best setting of `result`, where `folder` does not hold that; a line on stderr where
    it cannot be measured, since the study is whole without it."""
    try:
        trial = at_best_setting(study, result)
        about = {
            "batch_size": trial.batch_sizes[0],
            "hparams": dict(trial.settings[0]),
            "seed": trial.seed_numbers[0],
            "goal": str(study.goal),
        }
        known = stored_beside(folder)
        if known is not None and {name: known.get(name) for name in about} == plain(about):
            return
        start = time.perf_counter()
        noise = noise_along_training(trial, norms=False)
    except (ValueError, StudyError) as error:
        print(f"no noise scale: {str(error).removeprefix('noise scale: ')}", file=sys.stderr)
        return
    scale = noise.mean_simple
    found = {
        "best": scale.b_simple,
        "low": scale.low,
        "high": scale.high,
        "level": scale.level,
        "steps": noise.points[-1].step,
        "reached": noise.reached,
        "seconds": time.perf_counter() - start,
        "points": [described(point) for point in noise.points],
    }
    write_kept(folder / NAME, about | found)


def at_best_setting(study: Study, result: Result) -> Study:
    """The one trial that is measured.

    Raises:
      ValueError: no batch size of at least 2 reached the goal.
    """
    optima = best_settings(result)
    reached = [row for row in optima if row.steps is not None and row.batch_size > 1]
    if not reached:
        raise ValueError("no batch size of at least 2 reached the goal, and a single example cannot be split")
    try:
        wanted = critical_batch_size(result, optima=optima).value
    except ValueError:
        wanted = math.sqrt(reached[0].batch_size * reached[-1].batch_size)
    row = min(reached, key=lambda row: abs(math.log(row.batch_size / wanted)))
    setting = {**row.others, **row.lineage}
    if row.learning_rate:
        setting["learning_rate"] = float(f"{row.learning_rate.best:.3g}")
    space = {name: (setting.get(name, values[0]),) for name, values in study.space.items()}
    return dataclasses.replace(
        study,
        batch_sizes=(row.batch_size,),
        space=space,
        design=None,
        seeds=(study.seed_numbers[0],),
        extend=False,
    )


def stored_beside(folder: Path) -> dict[str, Any] | None:
    """What `measure_beside` has written; None where there is nothing, or it is damaged and measured again."""
    try:
        return read_kept(folder / NAME)
    except (OSError, ValueError):
        return None
