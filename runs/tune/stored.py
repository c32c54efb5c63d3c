"""A finished search again, from its store: the strategy proposes as it did, and the store answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hparam import parse_space
from hparam.search import FRESH, Proposal
from hparam.space import rows as settings_of
from hparam.tuning import TuningPlan
from hparam.tuning.confirm import confirm
from hparam.tuning.loss import stored_loss
from hparam.tuning.tune import Tuning, search_rounds
from runs.folder import kind_of
from runs.store import Store, StoreError
from runs.store.rows import ChunkRow, TrialRow, trial_of
from runs.stored_study import stored_study, unfinished

Key = tuple[tuple[float, ...], int, int, int]  # setting, seed, step of the end, segment that goes on


def asked(plan: TuningPlan) -> str:
    """Event of the store: what a search was asked for that its description leaves open."""
    return f"asked for {plan.trials} trials and {plan.confirm} fresh seeds"


def stored_tuning(folder: Path) -> Tuning:
    """What `lr-batch tune` found, without training anything.

    Raises:
      StoreError: the search has not come to its end, or was made by a version that did not say how long it was.
    """
    known = kind_of(folder)
    with Store(folder, read_only=True) as store:
        plan = stored_plan(folder, known.study, store.events)
        losses = losses_of(plan, known.study, store.trial_rows(), store.chunks())

    def train(proposal: Proposal) -> Float[np.ndarray, " n"]:
        columns = (proposal.repeat + plan.first_seed, proposal.steps, proposal.continues)
        keys = zip(settings_of(proposal.settings), *(column.tolist() for column in columns), strict=True)
        try:
            return np.array([losses[key] for key in keys])
        except KeyError:
            raise unfinished(folder, known) from None

    rounds = list(search_rounds(plan, train))
    state = rounds[-1][1] if rounds else plan.make_search().init()
    return Tuning(
        plan, tuple(told for told, _ in rounds), state, confirm(plan, state, train), trained_steps=0
    )


def stored_plan(folder: Path, study: Mapping[str, Any], events: Iterable[str]) -> TuningPlan:
    """The plan of a search that a store describes."""
    said = [re.fullmatch(r"asked for (\d+) trials and (\d+) fresh seeds", event) for event in events]
    found = [match for match in said if match]
    if not found:
        raise StoreError(
            f"{folder}: does not say how many trials were asked for: it is of an earlier lr-batch, or has not come to "
            "its end; the command that made it says so, and trains only what is missing"
        )
    trials, seeds = map(int, found[-1].groups())
    return TuningPlan(
        study=stored_study(study, batch_sizes=(study["batch_size"],)),
        space=parse_space(re.split(r" (?=[A-Za-z_]\w*=\w+\()", study["space"])),
        fixed=study["fixed"],
        search=study["search"],
        options={name: _option(text) for name, text in study["options"].items()},
        trials=trials,
        ask=study["ask"],
        width=study["width"],
        to_goal=study["goal"][1] is not None,
        confirm=seeds,
        seed=study["search_seed"],
    )


def _option(text: str) -> Any:
    """The value whose `str` this is."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def losses_of(
    plan: TuningPlan, study: Mapping[str, Any], trials: Iterable[TrialRow], chunks: Iterable[ChunkRow]
) -> dict[Key, float]:
    """The loss of every segment that was trained."""
    segments = {chunk.id: json.loads(chunk.identity)["segment"] for chunk in chunks}
    found: dict[Key, float] = {}
    for row in trials:
        if (segment := segments.get(row.chunk)) is None:
            continue
        trial = trial_of(row)
        setting = tuple(trial.hparams[name] for name in plan.space.names)
        continues = segment["continues"][row.lane] if segment["continues"] else FRESH
        reached = float("nan") if trial.steps_to_goal is None else trial.steps_to_goal
        loss = stored_loss(study, trial.status, reached, trial.curve.values, plan.study.max_steps)
        found[setting, row.seed, segment["steps"], continues] = loss
    return found
