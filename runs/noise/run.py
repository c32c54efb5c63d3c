"""The folder of a noise scale: one trial is trained and measured, once."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from lr_batch import (
    NoisePoint,
    NoiseScale,
    Study,
    StudyError,
    TrainingNoise,
    best_settings,
    noise_along_training,
    run,
)
from runs.curve.run import description
from runs.folder import default_folder, results
from runs.kept_json import read_kept, write_kept
from runs.progress import ProgressLine, Tell, say_progress
from runs.status.news import telling
from runs.store import StoreError
from runs.write import plain

NAME = "summary.json"
PILOT_SEEDS = 2


def best_rate(study: Study) -> float:
    """The best learning rate of a study of one batch size, with progress on stderr.

    Raises:
      StudyError: no rate reached the goal.
    """
    with ProgressLine() as progress:
        (row,) = best_settings(run(dataclasses.replace(study, seeds=PILOT_SEEDS), on_chunk=progress))
    if row.learning_rate is None:
        raise StudyError(
            f"noise-scale: no learning rate reached {study.goal} at batch size {row.batch_size}: give one by "
            "--learning-rates, or take an easier goal"
        )
    return float(f"{row.learning_rate.best:.3g}")


def measured(study: Study, folder: Path | None) -> tuple[Path, dict[str, Any]]:
    """The summary of the one trial of `study`, measured where its folder does not hold it."""
    about = description(study)
    if folder is None:
        folder = default_folder("noise-scale", (study.workload.name, study.optimizer_name), about)
    with results(folder, "noise-scale", about):
        if not (folder / NAME).exists():
            title = f"{study.workload.name} with {study.optimizer_name}"
            with telling(folder, title) as teller:
                report = functools.partial(_report, teller.say)
                write_kept(folder / NAME, summary(study, noise_along_training(study, on_point=report)))
        return folder, stored(folder)


def stored(folder: Path) -> dict[str, Any]:
    """What `measured` has written."""
    try:
        return read_kept(folder / NAME)
    except FileNotFoundError:
        raise StoreError(f"{folder}: the training did not come to its end; run the command again") from None
    except ValueError:
        raise StoreError(f"{folder / NAME}: damaged; remove it and run the command again") from None


def summary(study: Study, noise: TrainingNoise) -> dict[str, Any]:
    """All numbers, JSON-like; scales in examples with their intervals, null where there is none."""
    return plain(
        {
            "workload": study.workload.name,
            "optimizer": study.optimizer_name,
            "goal": str(study.goal),
            "reached": noise.reached,
            "batch_size": study.batch_sizes[0],
            "hparams": study.settings[0],
            "seed": study.seed_numbers[0],
            "level": noise.mean_simple.level,
            "mean_simple": _estimate(noise.mean_simple),
            "points": [described(point) for point in noise.points],
        }
    )


def described(point: NoisePoint) -> dict[str, Any]:
    """A measured point, JSON-like."""
    at_end = point.at_end._asdict() if point.at_end else {}
    scales = {name: scale and scale._asdict() for name, scale in at_end.items()}
    return {
        "step": point.step,
        "metric": point.metric,
        "average": point.average,
        "window": _estimate(point.simple),
        **scales,
    }


def _estimate(scale: NoiseScale) -> dict[str, float]:
    return {"best": scale.b_simple, "low": scale.low, "high": scale.high}


def _report(tell: Tell, point: NoisePoint) -> None:
    """How long it will train is not known before the goal is reached."""
    said = f"step {point.step:,}: metric {point.metric:.3g}, B_simple {point.simple.b_simple:.3g}"
    tell([said], None, {"step": point.step, "metric": point.metric, "noise_scale": point.simple.b_simple})
    say_progress(said)
