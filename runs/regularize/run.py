"""A regularizer's folder: what is missing is trained, with a line of progress on stderr."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lr_batch import Generalization, Study, generalize
from lr_batch.engine import Identity, train_rows
from runs.curve.run import remembered_choice
from runs.folder import default_folder, kind_of, results
from runs.progress import Tell, say_progress
from runs.regularize.array_store import ArrayStore
from runs.status.news import telling
from runs.stored_study import stored_study, unfinished


def description(study: Study, epochs: float) -> dict[str, Any]:
    """The study as it is written into its store and hashed for its folder."""
    return {
        **Identity.of(study, width=0, execution=study.lanes)
        ._replace(train_rows=train_rows(study))
        .described(),
        "regularizer": study.regularizer and study.regularizer.name,
        "epochs": float(epochs),
        "space": {name: list(values) for name, values in study.space.items()},
        "batch_sizes": list(study.batch_sizes),
        "seeds": study.seeds,
    }


def stored_fits(folder: Path) -> Generalization:
    """The trials of a finished study in its folder, without training anything.

    Raises:
      StoreError: some are missing or damaged.
    """
    known = kind_of(folder)
    study = stored_study(known.study)
    chunks = list(ArrayStore(folder, read_only=True).chunks())
    wanted = {(size, seed) for size in study.batch_sizes for seed in study.seed_numbers}
    found = [(chunk.batch_size, chunk.seed) for chunk, _ in chunks for _ in chunk.settings]
    if any(found.count(cell) != study.num_settings for cell in wanted):
        raise unfinished(folder, known)
    mine = [(chunk, arrays) for chunk, arrays in chunks if (chunk.batch_size, chunk.seed) in wanted]
    return Generalization.of(study, known.study["epochs"], mine, seconds=float("nan"))


@contextmanager
def generalized_in_folder(
    study: Study, epochs: float, folder: Path | None
) -> Generator[tuple[Path, Generalization], None, None]:
    """Trains what the folder does not hold yet, and holds the folder.

    Raises:
      runs.store.StoreError: if the folder cannot be used or holds another study.
      KeyboardInterrupt: with all that is finished stored.
    """
    described = description(study, epochs)
    if folder is None:
        names = (study.workload.name, study.optimizer_name)
        folder = default_folder("regularize", names, described)
    chosen = dataclasses.replace(study, lanes=remembered_choice(study))
    title = f"{study.workload.name} with {study.optimizer_name}"
    with results(folder, "regularize", described):
        kept = ArrayStore(folder)
        with telling(folder, title) as teller:
            report = functools.partial(_report, teller.say)
            found = generalize(chosen, epochs, kept, report, width=kept.width())
        yield folder, found


def _report(tell: Tell, done: int, planned: int) -> None:
    tell([f"chunks {done}/{planned}"], done / max(1, planned), {"chunks_done": done, "chunks": planned})
    say_progress(f"chunks {done}/{planned}")
