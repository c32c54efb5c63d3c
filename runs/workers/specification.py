"""A chunk as JSON: all that its numbers depend on, to be read and trained on any machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from hparam.tuning.plan import trial_identity
from hparam.tuning.segments import Origin
from lr_batch import BatchSchedule, Goal, Length, Schedule, Study
from lr_batch.engine import Chunk, Identity, Task, fingerprint
from runs.store.rows import versions
from runs.workers import sources
from runs.workers.errors import Damaged, Unfit
from runs.workers.layout import FORMAT

OF_VERSION, OF_PLATFORM = ("jax", "program"), ("program",)  # parts of an identity that differ between them


class Sources(NamedTuple):
    """Workload and optimizer as they were typed: "digits_mlp", "FILE.py:NAME"."""

    workload: str
    optimizer: str


class Tuned(NamedTuple):
    """What a worker must know of a search beside its study.

    Attributes:
      to_goal: whether trials race to the goal, see `hparam.TuningPlan`.
    """

    to_goal: bool


class Terms(NamedTuple):
    """What a worker must be to train a study's chunks.

    Attributes:
      versions: of packages, as the store writes them; None for any.
      device: kind of it; None for any.
      platform: for which the study's program was lowered; others have another one.
    """

    versions: str | None = None
    device: str | None = None
    platform: str | None = None


def of_study(study: Study, given: Sources, tuned: Tuned | None = None) -> dict[str, Any]:
    """The study as a worker makes it again; that of a search with what `tuned` says."""
    return {
        **({"tuned": tuned._asdict()} if tuned else {}),
        "workload": sources.described("workload", given.workload),
        "optimizer": sources.described("--optimizer", given.optimizer),
        "regularizer": study.regularizer and study.regularizer.name,
        "schedule": study.schedule and study.schedule.described,
        "precision": study.precision,
        "statistics": study.statistics,
        "group_size": study.group_size,
        "remat": study.remat,
        "brisk": study.brisk,
        "augment": study.augment or "none",  # not that of the workload, where it was taken away
        "batch_schedule": study.batch_schedule and study.batch_schedule.described,
        "batch_sizes": list(study.batch_sizes),
        "space": {name: list(values) for name, values in study.space.items()},
        "goal": list(study.goal),
        "budget": study.budget if isinstance(study.budget, int) else study.budget._asdict(),
        "slack": repr(float(study.slack)),
        "reached": study.reached,
        "evaluation_growth": study.evaluation_growth,
        "evaluation_share": study.evaluation_share,
    }


def specification(study: Mapping[str, Any], task: Task, terms: Terms) -> dict[str, Any]:
    """The chunk of a task; `study` is what `of_study` gives."""
    return {"format": FORMAT, "study": study, "terms": terms._asdict(), **_of_task(task)}


def _of_task(task: Task) -> dict[str, Any]:
    """With the chunks that its segments go on from, if it is of a search."""
    chunk = task.chunk
    return {
        "chunk": chunk.id,
        "identity": chunk.identity.described(),
        "batch_size": chunk.batch_size,
        "seed": chunk.seed,
        "settings": [dict(setting) for setting in chunk.settings],
        "width": task.width,
        "first": task.first if math.isfinite(task.first) else None,
        **({"origins": [list(origin) for origin in task.origins]} if task.origins else {}),
        **({"before": [_of_task(older) for older in task.before]} if task.before else {}),
    }


def task_of(document: Mapping[str, Any]) -> Task:
    """The task of a specification.

    Raises:
      Damaged: its chunk is not the one that it is named by.
    """
    try:
        described = dict(document["identity"])
        identity = Identity(**{**described, "goal": tuple(described["goal"])})
        settings = tuple(dict(setting) for setting in document["settings"])
        chunk = Chunk(identity, int(document["batch_size"]), int(document["seed"]), settings)
        first = math.inf if document["first"] is None else float(document["first"])
        origins = tuple(Origin(*map(int, origin)) for origin in document.get("origins", ()))
        before = tuple(task_of(older) for older in document.get("before", ()))
        task, named = Task(chunk, int(document["width"]), first, origins, before), document["chunk"]
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"a specification that cannot be read: {error!r}") from error
    if chunk.id != named:
        raise Damaged(f"the specification of chunk {named} holds another one")
    return task


def search_id(chunk: Chunk) -> str:
    """The same for all chunks that can go on from each other."""
    return fingerprint([chunk.identity._replace(segment=None, width=0).described(), chunk.batch_size])


def tuned_of(document: Mapping[str, Any]) -> Tuned | None:
    """What a specification says of its search; None where it is of a study."""
    said = document["study"].get("tuned")
    return Tuned(**said) if said else None


def study_of(document: Mapping[str, Any], identity: Identity) -> Study:
    """The study of a specification on this machine, with lanes executed as the chunk says.

    Raises:
      Unfit: it would not be the same study here.
    """
    said = document["study"]
    goal, schedule, budget = Goal(*said["goal"]), said["schedule"], said["budget"]
    study = Study(
        workload=sources.found("workload", said["workload"]),
        optimizer=sources.found("--optimizer", said["optimizer"]),
        batch_sizes=said["batch_sizes"],
        space=said["space"],
        seeds=[document["seed"]],
        goal=goal,
        budget=Length(**budget) if isinstance(budget, Mapping) else budget,
        slack=float(said["slack"]),
        extend=False,
        lanes=identity.lanes,
        regularizer=said["regularizer"],
        schedule=schedule and Schedule(**schedule),
        precision=said.get("precision", "float32"),
        statistics=said.get("statistics"),
        group_size=said.get("group_size"),
        augment=said.get("augment"),
        remat=said.get("remat", False),
        brisk=said.get("brisk", False),
        batch_schedule=BatchSchedule.read(said["batch_schedule"]) if said.get("batch_schedule") else None,
        reached=said["reached"],
        evaluation_growth=said["evaluation_growth"],
        evaluation_share=said["evaluation_share"],
    )
    _refuse_another(study, identity, tuned_of(document), document["terms"])
    return study


def refuse_unfit(terms: Mapping[str, Any], device: str) -> None:
    """Raises `Unfit` where this process is not what the terms of a study ask for."""
    for what, here in (("versions", versions()), ("device", device)):
        if terms[what] not in (None, here):
            raise Unfit(
                f"the study is trained with {what} {terms[what]}, here are {here}; --allow-mixed takes both and "
                "marks the rows"
            )


def _refuse_another(study: Study, identity: Identity, tuned: Tuned | None, terms: Mapping[str, Any]) -> None:
    here = Identity.of(study, width=identity.width, execution=identity.lanes)
    here = trial_identity(here, study.goal, tuned.to_goal) if tuned else here
    left_out = ("segment", *(_of_this_machine(here, identity, terms) if terms["versions"] is None else ()))
    differing = [
        name
        for name in Identity._fields
        if name not in left_out and getattr(here, name) != getattr(identity, name)
    ]
    if differing:
        name = differing[0]
        raise Unfit(
            f"{identity.workload} with {identity.optimizer} is another study here: its {name} is "
            f"{getattr(here, name)!r}, not {getattr(identity, name)!r}"
        )


def _of_this_machine(here: Identity, identity: Identity, terms: Mapping[str, Any]) -> tuple[str, ...]:
    """Parts of an identity by which two machines differ though the study is the same."""
    if here.jax != identity.jax:
        return OF_VERSION
    return OF_PLATFORM if terms.get("platform") != jax.default_backend() else ()
