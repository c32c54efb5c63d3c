"""Does the best rate of a narrow network fit a wide one? The standard parameterization beside muP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

from lr_batch import log_grid
from lr_batch.workloads import digits_mlp
from runs.transfer.best_rate import octaves_text
from runs.transfer.family import PARAMETERIZATIONS, Family
from runs.transfer.outcome import measure
from runs.transfer.run import TransferPlan

PLAN = TransferPlan((64, 256, 1024), log_grid(2**-11, 2**-3, 9), (64,), steps=100, seeds=4, schedule="linear")
QUICK = TransferPlan((8, 16), log_grid(2**-8, 2**-2, 4), (64,), steps=10, seeds=2, schedule="linear")


def main(out: str = "mu-transfer", *, quick: bool = False) -> dict[str, Any]:
    """Trains `digits_mlp` with Adam at three widths and nine rates, both ways, and draws into the folder `out`.

    Command: `python -m runs.recipes.mu_transfer`; a minute on 2 CPU cores.
    Expect the best rate to move from width 64 to 1,024 by -1.5 octaves (-0.7 at most) under the standard parameterization
    and by +0.5 (+0.1 at least) under muP: at width 64 some seed's best rate is the highest of all, so that intervals
    have one end (4 seeds, 90 %).

    Args:
      out: folder of `transfer.png`, `coordinates.png`, the summary and the stores.
      quick: two narrow widths, 4 rates, 10 steps.
    """
    plan = QUICK if quick else PLAN
    summary = measure(Family(digits_mlp, "adam", plan.widths[0]), plan, Path(out))[1]
    for name in PARAMETERIZATIONS:
        print(
            f"{name:8s} best rate moves {octaves_text(summary['octaves_after_steps'][plan.steps][name])} octaves"
        )
    return summary


if __name__ == "__main__":
    main(*sys.argv[1:2])
