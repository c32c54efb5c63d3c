"""Joins stores of one study: every trial once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runs.curve.run import damage_lines
from runs.store import Store, StoreError, StudyChanged
from runs.store.study import EXTENDABLE, Description, difference, identity_part


class Merged(NamedTuple):
    """Trials that came in from each folder, and that were there already; what was damaged and left out, a line each."""

    added: tuple[int, ...]
    known: tuple[int, ...]
    damage: tuple[str, ...] = ()


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Writes the intact trials of `folders` into the store in `out`, which may hold some of the study already.

    A trial that several folders have is kept as the first of them has it; other numbers for it become an event.
    Merging again adds nothing.

    Raises:
      StoreError: a folder cannot be read, is not of `lr-batch curve`, or holds another study than the first.
    """
    if out.resolve() in [folder.resolve() for folder in folders]:
        raise StudyChanged(f"merge: {out} is one of the folders to merge; name another --out")
    known = [_described(folder) for folder in folders]
    for folder, one in zip(folders[1:], known[1:], strict=True):
        changes = difference(identity_part(known[0].study), identity_part(one.study))
        if changes:
            listing = "; ".join(f"{name}: {change}" for name, change in changes.items())
            raise StudyChanged(f"merge: {folder} holds another study than {folders[0]} ({listing})")
    counts, damage = [], []
    with Store(out) as store:
        before = [store.description.study] if store.description else []
        study = _joined([*before, *(one.study for one in known)])
        store.describe(study, kind="curve", command=known[0].command, extend=True)
        for folder in folders:
            with Store(folder, read_only=True) as source:
                damage += [f"{folder}: {line.removeprefix(f'{folder}/')}" for line in damage_lines(source)]
                rows = source.trial_rows()
                counts.append((store.adopt(source.chunks(), rows), len(rows)))
    added, known_there = tuple(new for new, _ in counts), tuple(all_ - new for new, all_ in counts)
    return Merged(added, known_there, tuple(damage))


def _described(folder: Path) -> Description:
    with Store(folder, read_only=True) as store:
        known = store.description
    if known is None:
        raise StoreError(f"merge: {folder} holds nothing of a study yet")
    if known.kind not in ("", "curve"):
        raise StudyChanged(
            f"merge: {folder} holds results of lr-batch {known.kind}; only those of curve are joined"
        )
    return known


def _joined(studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first study with the grids of all; what a description that was lost does not say is left out."""
    joined = dict(studies[0])
    for name in EXTENDABLE:
        given = [study[name] for study in studies if name in study]
        if not given:
            continue
        if name == "space":
            axes = {axis: None for space in given for axis in space}
            joined[name] = {
                axis: sorted({v for space in given for v in space.get(axis, ())}) for axis in axes
            }
        else:
            joined[name] = _values(given)
    return joined


def _values(given: Sequence[int | Sequence[int]]) -> list[int] | int:
    """Numbers of all; seeds may be given as how many there are."""
    listed = {v for one in given for v in (range(one) if isinstance(one, int) else one)}
    counted = all(isinstance(one, int) for one in given)
    return max(one for one in given if isinstance(one, int)) if counted else sorted(listed)
