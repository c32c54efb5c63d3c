"""Linear learning-rate scaling on handwritten digits: copy this file and edit it.

    python -m runs.recipes.linear_scaling

Twenty seconds to a minute on two cores. Expect a best rate proportional to the batch size up to a batch of about 8
and constant beyond about 128, and a critical batch size near 30.
"""

from __future__ import annotations

from pathlib import Path

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import lr_batch
import runs
from runs.curve.analysis import Analysis, analyse
from runs.curve.figures import learning_rate, steps_to_goal


def main(out: str = "linear-scaling", quick: bool = False) -> Analysis:
    """Sweeps, prints, and draws into the folder `out`."""
    study = lr_batch.Study(
        workload="digits_mlp",
        optimizer="sgd",
        batch_sizes=(1, 4, 16, 64) if quick else (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
        space={"learning_rate": lr_batch.log_grid(1e-3, 4.0, 16)},
        seeds=2 if quick else 4,
    )
    result = lr_batch.run(study, store=runs.Store(out))
    outcome = analyse(result)
    if (critical := outcome.critical) is not None:  # four batch sizes reached the goal, with two seeds
        print(f"critical batch size {critical.value:.0f} ({critical.low:.0f} to {critical.high:.0f})")
    if (law := outcome.law) is not None:
        print(f"best rate: {law.words}; {law.winner.formula}")
    steps_to_goal(result, outcome, Path(out) / "steps_to_goal.png")
    learning_rate(result, outcome, Path(out) / "learning_rate.png")
    return outcome


if __name__ == "__main__":
    main()
