"""The studies of a comparison: one folder for each, and one for what they say together."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lr_batch import Result, Study, StudyError, check
from lr_batch.engine import fingerprint
from runs.curve.analysis import Analysis
from runs.curve.outcome import write_outcome
from runs.curve.run import description, run_in_folder, stored_result, study_folder
from runs.folder import default_folder, file_name, part, results
from runs.opened import open_folder
from runs.progress import say_progress
from runs.status.news import telling
from runs.store import Store, StoreError
from runs.text import harmless
from runs.workers.hand_out import FolderHandOut

NOBODY: Mapping[str, FolderHandOut] = MappingProxyType({})
GRID = ("space", "batch_sizes", "seeds", "extend", "follow", "trials")
NO_TIME = 1e-3  # seconds, for the studies after a time limit: what is stored of them is read


class Member(NamedTuple):
    """One study of a comparison and its folder."""

    study: Study
    folder: Path


class Compared(NamedTuple):
    """`failures` are of studies that could not be compiled, `unfinished` of those that a time limit cut, in a line each;
    `outcomes` are of all that have trials."""

    folder: Path
    outcomes: tuple[tuple[Result, Analysis], ...]
    failures: tuple[str, ...]
    unfinished: tuple[str, ...] = ()


@contextmanager
def compared_in_folder(
    studies: Mapping[str, Study],
    out: Path | None,
    *,
    add: bool,
    elsewhere: Mapping[str, FolderHandOut] = NOBODY,
    time_limit: float | None = None,
) -> Generator[Compared, None, None]:
    """Runs the missing trials of every study, one after the other, while holding the folder of the comparison.

    Without `out` every study has the folder that `lr-batch curve` gives it; with it one in `out`, into which
    the finished chunks of the other are taken over. One that cannot be compiled is reported and left out.
    `elsewhere` names who trains the chunks of each study; this process where it does not. `time_limit` in seconds is of
    all studies together, see `lr_batch.run`.

    Raises:
      StudyError: none can be compiled.
    """
    described, failures = _described(studies)
    if not described:
        raise StudyError("; ".join(failures))
    study = {name: {key: one[key] for key in one if key not in GRID} for name, one in described.items()}
    grid = {
        key: {name: one[key] for name, one in described.items() if key in one}
        for key in GRID
        if any(key in one for one in described.values())
    }
    folder = out or default_folder(
        "compare", (next(iter(studies.values())).workload.name,), {**study, **grid}
    )
    members = _members({name: studies[name] for name in described}, folder, own=out is not None)
    about = {
        "studies": {name: fingerprint(one) for name, one in study.items()},
        "folders": {name: os.path.relpath(member.folder, folder) for name, member in members.items()},
        **grid,
    }
    deadline = None if time_limit is None else time.monotonic() + time_limit
    with results(folder, "compare", about, extend=add), telling(folder, f"{len(members)} studies"):
        ran = {
            name: _run(name, member, add, elsewhere.get(name), deadline) for name, member in members.items()
        }
        yield Compared(
            folder,
            tuple((result, outcome) for result, outcome in ran.values() if outcome),
            tuple(failures),
            tuple(
                f"{name}: {event}"
                for name, (result, _) in ran.items()
                for event in result.engine.events
                if event.startswith("time limit")
            ),
        )


def stored_comparison(folder: Path) -> tuple[tuple[Result, Analysis], ...]:
    """The outcomes of a comparison's studies, from their stores; those without trials are left out."""
    with Store(folder, read_only=True) as store:
        known = store.description
    if known is None:
        raise StoreError(f"{folder}: what was compared is not known; its studies are in the folders inside")
    inside = {name: folder / path for name, path in known.study["folders"].items()}
    kept = stored_folders(folder)
    found = [(name, path, stored_result(path)) for name, path in inside.items() if path in kept]
    own = [result.optimizer for *_, result in found]
    outcomes = [(name, result, write_outcome(result, path)) for name, path, result in found]
    return tuple(  # studies of one optimizer are told apart as they were
        (result if own.count(result.optimizer) == 1 else result._replace(optimizer=name), outcome)
        for name, result, outcome in outcomes
    )


def stored_folders(folder: Path) -> list[Path]:
    """Folders of the studies of a comparison that have trials, in its order."""
    with Store(folder, read_only=True) as store:
        known = store.description
    found = []
    for path in known.study["folders"].values() if known else ():
        with Store(folder / path, read_only=True) as store:
            found += [folder / path] if store.trial_rows() else []
    return found


def opened_folders(
    folders: Sequence[str], out: Path | None
) -> tuple[Path, tuple[tuple[Result, Analysis], ...]]:
    """Where the figures go, and the outcomes of folders of `lr-batch curve`.

    Raises:
      StudyError: they are not of one workload, goal and rule of reaching it, or one is named twice.
    """
    opened = [open_folder(folder) for folder in folders]
    asked = [(one.result.workload, str(one.result.goal), one.result.reached_by) for one in opened]
    for folder, this in zip(folders, asked, strict=True):
        if this != asked[0]:
            raise StudyError(
                f"compare: {folders[0]} is of {', '.join(asked[0])}; {folder} of {', '.join(this)}: only studies of one "
                "workload, goal and rule can be compared"
            )
    shown = _told_apart([one.result.optimizer for one in opened], folders)
    outcomes = tuple(
        (one.result._replace(optimizer=name), one.analysis) for name, one in zip(shown, opened, strict=True)
    )
    folder = out or default_folder(
        "compare", (asked[0][0],), {"folders": [str(Path(f).resolve()) for f in folders]}
    )
    about = {
        "folders": {name: os.path.relpath(path, folder) for name, path in zip(shown, folders, strict=True)}
    }
    with results(folder, "compare", about):
        return folder, outcomes


def _told_apart(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Studies of one optimizer with the names of their folders, or with the paths where these are the same too."""
    ends = [f"{name} ({Path(folder).resolve().name})" for name, folder in zip(names, folders, strict=True)]
    shown = [
        name if names.count(name) == 1 else end if ends.count(end) == 1 else f"{name} ({folder})"
        for name, end, folder in zip(names, ends, folders, strict=True)
    ]
    for name, folder in zip(shown, folders, strict=True):
        if shown.count(name) > 1:
            raise StudyError(f"compare: {folder} is named twice; name each folder once")
    return shown


def _described(studies: Mapping[str, Study]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    described, failures = {}, []
    for name, study in studies.items():
        try:
            check(study)
            described[name] = description(study)
        except BaseException as error:
            if isinstance(error, StudyError | ValueError):
                said = str(error)
            elif isinstance(error, Exception | KeyboardInterrupt):
                raise
            else:  # the user's own code may leave the process
                said = f"{name}: {type(error).__name__}: {error}"
            print(f"lr-batch: {harmless(said)}", file=sys.stderr)
            failures.append(said)
    return described, failures


def _members(studies: Mapping[str, Study], folder: Path, *, own: bool) -> dict[str, Member]:
    names = [file_name(name) for name in studies]
    members = {}
    for name, inside in zip(studies, names, strict=True):
        alike = names.count(inside) > 1  # two names that differ only in punctuation
        place = part(folder, f"{inside}-{fingerprint(name)[:8]}" if alike else inside)
        members[name] = Member(studies[name], place if own else study_folder(studies[name]))
    return members


def _run(
    name: str, member: Member, add: bool, hand_out: FolderHandOut | None, deadline: float | None
) -> tuple[Result, Analysis | None]:
    """The result, and what it says where it has trials."""
    say_progress(name)
    left = None if deadline is None else max(deadline - time.monotonic(), NO_TIME)
    _, result = run_in_folder(
        member.study,
        member.folder,
        add=add,
        lender=study_folder(member.study),
        hand_out=hand_out,
        time_limit=left,
    )
    return result, write_outcome(result, member.folder) if result.num_trials else None
