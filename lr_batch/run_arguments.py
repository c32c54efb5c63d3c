"""What `lr_batch.run` refuses before it begins."""

from __future__ import annotations

from typing import Any

from lr_batch.engine.place import refuse_mesh
from lr_batch.problem.mesh_shape import ALONE
from lr_batch.study import Study
from optim.arguments import type_of

MOST_WORKERS = 1024


def check_run(
    study: Any, *, width: int | None, workers: int | None, time_limit: float | None, handed_out: bool
) -> None:
    """Raises ValueError, in one line, for an argument of `lr_batch.run` that it does not take."""
    if not isinstance(study, Study):
        raise ValueError(
            f"run: study must be a Study, got {type_of(study)}; make one by lr_batch.Study(workload)"
        )
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise ValueError(f"run: workers must be from 1 to {MOST_WORKERS}, got {workers}")
    rows = (study.mesh or ALONE).lane
    if width is not None and width % rows:
        raise ValueError(
            f"run: width must be a multiple of the {rows} rows of devices of the mesh, got {width}"
        )
    if handed_out:
        refuse_mesh("run: a worker of hand_out", study)
    if study.regularizer and study.regularizer.stop:
        raise ValueError(
            f"run: {study.regularizer.name} ends trials, and so does the race to the goal; measure it with "
            "lr_batch.generalize or lr-batch regularize"
        )
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"run: time_limit must be above 0 seconds, got {time_limit!r}")
