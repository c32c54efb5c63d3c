"""A study's folder and its store: what is missing is trained, what is there is read back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from lr_batch import (
    BatchSchedule,
    EngineReport,
    Goal,
    Length,
    Result,
    Schedule,
    Searched,
    Study,
    StudyError,
    check,
    longest_trials,
    run,
)
from lr_batch.engine import (
    AUTO,
    BRISK,
    Checkpoint,
    Chunk,
    ChunkResult,
    Identity,
    choose_execution,
    chunk_width,
    program_hash,
    within_memory,
)
from optim.names import counted
from runs.cache import remembered
from runs.folder import default_folder, results
from runs.kept_json import read_kept
from runs.progress import ProgressLine
from runs.status.news import telling
from runs.store import Store
from runs.store.database import NAME
from runs.store.rows import ChunkRow, trial_of
from runs.workers.hand_out import FolderHandOut

SHOWN = 4  # damaged rows in a line
OF_THE_RUN = ("compile_seconds", "programs_compiled", "chunk_width", "evaluation_share")  # of the engine
LANES = "lanes are executed by "  # event of the store


def description(study: Study) -> dict[str, Any]:
    """The study as it is written into its store and hashed for its folder."""
    return {
        **Identity.of(study, width=0, execution=study.lanes).described(),
        "space": {name: list(values) for name, values in study.space.items()},
        "batch_sizes": list(study.batch_sizes),
        "seeds": study.seeds,
        "extend": study.extend and not study.design,
        **({"follow": True} if study.follow else {}),
        **(_searched(study.design.searched) if study.design else {}),
    }


def _searched(searched: Searched) -> dict[str, Any]:
    """What the description of a study has, whose settings a search proposes."""
    return {"searched": searched.described, "trials": searched.trials}


def study_folder(study: Study) -> Path:
    """`lr-batch-results/WORKLOAD-OPTIMIZER-HASH`."""
    return default_folder("curve", (study.workload.name, study.optimizer_name), description(study))


def run_in_folder(
    study: Study,
    folder: Path | None = None,
    *,
    add: bool = False,
    kind: str = "curve",
    lender: Path | None = None,
    time_limit: float | None = None,
    hand_out: FolderHandOut | None = None,
) -> tuple[Path, Result]:
    """Runs what is missing of `study` in its folder, with progress on stderr.

    Args:
      study: what to measure.
      folder: where its store is, or will be.
      add: the folder may hold the study with another grid; the answer is then of all its trials.
      kind: what the folder is for, see `runs.folder`.
      lender: another folder of the same study, whose finished chunks are taken over.
      time_limit: in seconds, see `lr_batch.run`.
      hand_out: who trains the chunks; this process where None.

    Raises:
      runs.store.StoreError: if the folder cannot be used or holds another study.
      KeyboardInterrupt: with all that is finished stored, see `runs.interrupts`.
    """
    check(study)
    described = description(study)  # before a folder is made for what cannot be compiled
    folder = study_folder(study) if folder is None else folder
    title = f"{study.workload.name} with {study.optimizer_name}"
    with results(folder, kind, described, extend=add) as store, lent(store, lender) as chunks:
        with telling(folder, title) as teller, ProgressLine(title=title, tell=teller.say) as progress:
            # A grid that was added to is raced again as a whole; a search goes on.
            width = known_width(chunks) if not add or study.design else None
            if hand_out is not None:
                hand_out.trained_on = hand_out.trained_on or store.device
            result = run(
                with_lanes(within_memory(as_trained_before(study, chunks)), chunks),
                chunks,
                progress,
                width=width,
                time_limit=time_limit,
                hand_out=hand_out,
            )
        stored = _result(store) if result.num_trials else result
    return folder, stored._replace(engine=result.engine)


@contextmanager
def lent(own: Store, folder: Path | None) -> Generator[Store | Borrowing, None, None]:
    """The store, with what `folder` holds already behind it."""
    if folder is None or not (folder / NAME).exists() or folder.absolute() == own.directory.absolute():
        yield own
        return
    with Store(folder, read_only=True) as lender:
        yield Borrowing(own, lender)


class Borrowing:
    """A store that takes over what it does not have from another: a chunk's identity says that numbers are equal."""

    def __init__(self, own: Store, lender: Store):
        self.own, self.lender = own, lender

    def load(self, chunk: Chunk) -> ChunkResult | Checkpoint | None:
        found = self.own.load(chunk)
        if isinstance(found, ChunkResult):
            return found
        known = self.lender.load(chunk)
        if not isinstance(known, ChunkResult):
            return found
        self.own.save(chunk, known)
        return known

    def save(self, chunk: Chunk, outcome: ChunkResult | Checkpoint) -> None:
        self.own.save(chunk, outcome)

    @property
    def events(self) -> tuple[str, ...]:
        return (*self.own.events, *self.lender.events)

    def chunks(self) -> list[ChunkRow]:
        return [*self.own.chunks(), *self.lender.chunks()]

    def record(self, event: str) -> None:
        self.own.record(event)


def with_lanes(study: Study, store: Store | Borrowing) -> Study:
    """The study with the execution of its lanes chosen: as before in this folder or on this device.

    The execution changes the last bits of the results, so a study that goes on has to keep it.
    """
    if study.lanes != AUTO:
        return study
    made = [event.removeprefix(LANES) for event in store.events if event.startswith(LANES)]
    made += [json.loads(chunk.identity)["lanes"] for chunk in store.chunks()]  # where the event was lost
    if not made:
        made = [remembered_choice(study)]
        store.record(LANES + made[0])
    return dataclasses.replace(study, lanes=made[0])


def as_trained_before(study: Study, store: Store | Borrowing) -> Study:
    """The study over as many devices as the chunks of this folder, and with activations that are computed a second time
    as theirs, where it does not say so itself."""
    identities = [json.loads(chunk.identity) for chunk in store.chunks()]
    meshes = sorted(filter(None, (identity.get("mesh") for identity in identities)))
    mesh = meshes[0] if study.mesh is None and meshes else study.mesh
    remat = study.remat or any(identity.get("remat") for identity in identities)
    return dataclasses.replace(study, mesh=mesh, remat=remat)


def known_width(store: Store | Borrowing) -> int | None:
    """Lanes of the widest chunk stored, since memory may have cut others in half; None where there is no chunk."""
    return max((json.loads(chunk.identity)["width"] for chunk in store.chunks()), default=None)


def remembered_choice(study: Study) -> str:
    """The execution of lanes that was chosen on this machine before: a second measurement might choose another."""
    if study.lanes != AUTO:
        return study.lanes
    key = " ".join([program_hash(study), jax.local_devices()[0].device_kind, str(len(study.settings))])
    key += f" {study.mesh}" if study.mesh else ""
    return remembered(key, lambda: choose_execution(study, chunk_width(study)))


def stored_result(folder: Path) -> Result:
    """The trials in a folder's store, as `run` would return them; times are those of the chunks, and programs and
    evaluations those that its summary tells of.

    What is damaged is left out, and the events of the engine's report say so.
    """
    with Store(folder, read_only=True) as store:
        return _result(store)


def _result(store: Store) -> Result:
    known, rows, chunks = store.description, store.trial_rows(), store.chunks()
    trials = longest_trials(map(trial_of, rows))
    if not known or not trials:
        raise StudyError("; ".join([f"{store.directory} holds no finished trials yet", *damage_lines(store)]))
    study, device = known.study, sorted({row.device for row in rows})
    examples = examples_of(study)
    seconds = sum(chunk.seconds for chunk in chunks)
    return Result.from_trials(
        trials,
        workload=study["workload"],
        optimizer=study["optimizer"],
        goal=Goal(*study["goal"]),
        time_constant=study.get("time_constant", 0.0),
        budget=budget_of(study),
        hparams=study.get("space", sorted(trials[0].hparams)),
        schedule=Schedule(**study["schedule"]) if study.get("schedule") else None,
        batch_schedule=batches_of(study),
        searched=Searched.read(study["searched"], study["trials"]) if study.get("searched") else None,
        grid_trials=grid_trials_of(study),
        engine=EngineReport(
            seconds=seconds,
            compile_seconds=0.0,
            programs_compiled=0,
            examples=int(sum(examples(trial.batch_size, trial.steps) for trial in trials)),
            device=", ".join(device),
            chunk_width=study.get("width", 0),
            trials_per_second=len(trials) / seconds if seconds else 0.0,
            events=(*damage_lines(store), *([BRISK] if study.get("brisk") else [])),
        )._replace(**_of_the_run(store.directory, len(trials))),
    )


def _of_the_run(folder: Path, trials: int) -> dict[str, Any]:
    """What the run's own summary says of programs and evaluations, which no row holds; nothing of other trials."""
    try:
        kept = read_kept(folder / "summary.json")
        return {name: kept["engine"][name] for name in OF_THE_RUN} if kept["trials"] == trials else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def budget_of(study: Mapping[str, Any]) -> int | Length:
    """The budget of a described study."""
    budget = study["budget"]
    return Length(**budget) if isinstance(budget, Mapping) else budget


def batches_of(study: Mapping[str, Any]) -> BatchSchedule | None:
    """The batch schedule of a described study."""
    described = study.get("batch_schedule")
    return BatchSchedule.read(described) if described else None


def grid_trials_of(study: Mapping[str, Any]) -> int | None:
    """Trials of the grid through which the best rate of a described study was followed; None where it was not."""
    if not study.get("follow"):
        return None
    seeds = study["seeds"] if isinstance(study["seeds"], int) else len(study["seeds"])
    return len(study["batch_sizes"]) * seeds * math.prod(map(len, study["space"].values()))


def examples_of(study: Mapping[str, Any]) -> Callable[[int, int], float]:
    """`(batch size, steps) -> examples` of the trials of a described study."""
    growing, budget = batches_of(study), budget_of(study)
    return lambda size, steps: growing.examples(size, budget, steps) if growing else steps * size


def damage_lines(store: Store) -> tuple[str, ...]:
    """The damage of a store in one line; no line where it has none."""
    bad = store.verify()
    if not bad:
        return (store.damage,) if store.damage else ()
    listed = ", ".join(map(str, bad[:SHOWN])) + (", ..." if len(bad) > SHOWN else "")
    return (f"left out {counted(len(bad), 'damaged row')}, which run again with the same command: {listed}",)
