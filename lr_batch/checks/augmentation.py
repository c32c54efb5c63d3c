"""Whether an augmentation changes examples one by one, by the draws that it is given alone."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from lr_batch.checks.probe import Probe, spread, take
from lr_batch.errors import StudyError
from lr_batch.problem.augmentation import augmented_rows
from optim.users_error import first_line

SEED = 0  # of the draws
ROUNDING = 1e-5


def check_augmentation(probe: Probe) -> list[str]:
    """Raises StudyError where it fails, changes shapes, draws by itself, or mixes the rows of a batch.

    It would fail after minutes of training, or train no trial twice on the same pictures.
    """
    workload = probe.workload
    if workload.augment is None:
        return []
    rows = spread(workload.train_data, probe.rows)
    owner = f"{workload.name}: augmentation {workload.augment.name}"
    once, again, fewer = (_changed(probe, owner, part) for part in (rows, rows, rows[::2]))
    if not np.array_equal(once, again, equal_nan=True):
        raise StudyError(
            f"{owner} makes other pictures of the same examples each time it is called: take what is random from "
            "draws alone, so that all trials of a seed see the same ones"
        )
    if not np.isfinite(once).all():
        raise StudyError(f"{owner} makes numbers that are not finite of training rows that are")
    if not np.allclose(once[::2], fewer, rtol=ROUNDING, atol=ROUNDING * float(np.abs(once).max())):
        raise StudyError(
            f"{owner} makes other pictures of the same examples among other rows: row i of the result may depend on "
            "row i of x and of draws alone"
        )
    return [f"augmentation: {workload.augment.name}, of each example by itself"]


def _changed(probe: Probe, owner: str, rows: Int[np.ndarray, " m"]) -> np.ndarray:
    workload = probe.workload
    data = take(workload.train_data, rows)
    try:
        return np.array(augmented_rows(workload.augment, data, SEED, np.zeros_like(rows), rows)["x"])
    except ValueError as error:
        if str(error).startswith("augmentation "):  # our own, of another shape
            raise StudyError(f"{workload.name}: {error}") from error
        raise StudyError(f"{owner} failed: {first_line(error)}") from error
    except Exception as error:
        raise StudyError(f"{owner} failed: {first_line(error)}") from error
