"""A study's folder: its store, its figures, its report, its summary."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path

import jax

from lr_batch import EngineReport, Goal, Result, Study, Trial, check, run
from lr_batch.engine import AUTO, Identity, choose_execution, chunk_width, fingerprint, program_hash
from runs.cache import remembered
from runs.curve.analysis import Analysis, analyse
from runs.progress import ProgressLine
from runs.store import Store
from runs.write import write_atomically

RESULTS = Path("lr-batch-results")
LANES = "lanes are executed by "  # event of the store


def description(study: Study) -> dict:
    """The study as it is written into its store and hashed for its folder."""
    return {
        **Identity.of(study, width=0, execution=study.lanes).described(),
        "space": {name: list(values) for name, values in study.space.items()},
        "batch_sizes": list(study.batch_sizes),
        "seeds": study.seeds,
        "extend": study.extend,
    }


def default_folder(study: Study) -> Path:
    """`lr-batch-results/WORKLOAD-OPTIMIZER-HASH`, with nothing in the name that a file system could mind."""
    name = re.sub(r"[^\w.-]+", "_", f"{study.workload.name}-{study.optimizer_name}")[:80]
    return RESULTS / f"{name.lstrip('.')}-{fingerprint(description(study))[:8]}"


def run_in_folder(study: Study, folder: Path | None = None, *, add: bool = False) -> tuple[Path, Result]:
    """Runs what is missing of `study` in its folder, with progress on stderr.

    Raises:
      runs.store.StoreError: if the folder cannot be used or holds another study.
      KeyboardInterrupt: with all that is finished stored, see `runs.interrupts`.
    """
    check(study)
    described = description(study)  # before a folder is made for what cannot be compiled
    folder = default_folder(study) if folder is None else folder
    with Store(folder) as store:
        store.describe(described, extend=add)
        with ProgressLine() as progress:
            return folder, run(with_lanes(study, store), store, progress)


def with_lanes(study: Study, store: Store) -> Study:
    """The study with its choice of how lanes are executed made: as before in this folder or on this device.

    The choice changes the last bits of the results. A study that goes on has to keep it.
    """
    if study.lanes != AUTO:
        return study
    made = [event.removeprefix(LANES) for event in store.events if event.startswith(LANES)]
    if not made:
        made = [remembered_choice(study)]
        store.record(LANES + made[0])
    return dataclasses.replace(study, lanes=made[0])


def remembered_choice(study: Study) -> str:
    """How lanes are executed, as it was chosen on this machine before: measured again, it might come out otherwise."""
    if study.lanes != AUTO:
        return study.lanes
    key = " ".join([program_hash(study), jax.local_devices()[0].device_kind, str(len(study.settings))])
    return remembered(key, lambda: choose_execution(study, chunk_width(study)))


def stored_result(folder: Path) -> Result:
    """The trials in a folder's store, as `run` would return them; times are those of the chunks."""
    with Store(folder, read_only=True) as store:
        study, trials, chunks = store.description, without_repeats(store.trials()), store.chunks()
        device = sorted({row.device for row in store.trial_rows()})
    if not study or not trials:
        raise ValueError(f"report: {folder} holds no finished trials yet")
    seconds = sum(chunk.seconds for chunk in chunks)
    return Result.from_trials(
        trials,
        workload=study["workload"],
        optimizer=study["optimizer"],
        goal=Goal(*study["goal"]),
        budget=study["budget"],
        hparams=study["space"],
        engine=EngineReport(
            seconds=seconds,
            compile_seconds=0.0,
            programs_compiled=0,
            examples=sum(trial.steps * trial.batch_size for trial in trials),
            device=", ".join(device),
            chunk_width=study["width"],
            trials_per_second=len(trials) / seconds if seconds else 0.0,
        ),
    )


def without_repeats(trials: Iterable[Trial]) -> list[Trial]:
    """One trial for each batch size, seed and setting: the one trained longest.

    A grid that was added to is raced again as a whole, and its old rows are kept.
    """
    longest: dict[tuple, Trial] = {}
    for trial in trials:
        cell = (trial.batch_size, trial.seed, *sorted(trial.hparams.items()))
        if cell not in longest or trial.steps > longest[cell].steps:
            longest[cell] = trial
    return list(longest.values())


def write_outcome(result: Result, folder: Path) -> Analysis:
    """Analyses `result` and writes summary, figures and report into `folder`."""
    from runs.plots import heatmap, learning_rate, steps_to_goal, training_curves
    from runs.report import write_report

    outcome = analyse(result)
    why = "; ".join(outcome.refusals)
    write_atomically(folder / "summary.json", json.dumps(outcome.summary, indent=1).encode())
    steps_to_goal(result, outcome.critical, folder / "steps_to_goal.png", why=why)
    learning_rate(result, outcome.law, folder / "learning_rate.png", why=why)
    heatmap(result, folder / "heatmap.png")
    training_curves(result, folder / "training_curves.png")
    told = outcome.summary | {"advice": outcome.advice}
    write_report(result, outcome.critical, outcome.law, told, folder / "report.html")
    return outcome
