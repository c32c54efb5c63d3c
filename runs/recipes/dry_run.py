"""Whether `--dry-run` tells the time: its estimate beside the real time of four studies, on an idle machine."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import lr_batch
from runs.curve.dry_run import forecast, planned

WITHIN = 1.5  # factor within which the estimate should be, above and below
# Workload, optimizer, batch sizes, steps of each trial, rates: small and large steps, of both kinds of networks.
STUDIES = {
    "digits_mlp, sgd, every size of batch": ("digits_mlp", "sgd", (1, 8, 64, 512), 1_500, 16),
    "digits_mlp, muon": ("digits_mlp", "muon", (16, 128), 300, 8),
    "digits_cnn, sgd": ("digits_cnn", "sgd", (16, 128), 60, 8),
    "pydoc_lm, adam": ("pydoc_lm", "adam", (8, 32), 20, 4),
}


class Told(NamedTuple):
    """Seconds of training, as estimated and as they were."""

    estimate: float
    real: float

    @property
    def ratio(self) -> float:
        return self.estimate / self.real


def main(*, quick: bool = False) -> dict[str, Told]:
    """Estimates each study as `lr-batch curve --dry-run` does, then trains it to the end of its budget.

    Without a race and a growing grid the estimate is of exactly what is trained; compilation, which both tell apart, is
    left out. Command: `python -m runs.recipes.dry_run`; two minutes on 2 idle CPU cores. Expect every ratio to lie
    between 1 / 1.5 and 1.5. On a machine that does other work, the ratios say how much that changed in between.

    Args:
      quick: the second study alone, of fewer steps.
    """
    name, (workload, optimizer, sizes, _, rates) = list(STUDIES.items())[1]
    studies = {name: (workload, optimizer, sizes, 30, rates)} if quick else STUDIES
    found = {}
    for name, (workload, optimizer, sizes, steps, rates) in studies.items():
        study = lr_batch.Study(
            workload,
            optimizer,
            batch_sizes=sizes,
            space={
                **lr_batch.as_optimizer(optimizer).space,
                "learning_rate": lr_batch.log_grid(1e-4, 1e-2, rates),
            },
            seeds=2,
            goal=lr_batch.as_workload(workload).goal._replace(threshold=0.0),  # out of reach
            budget=steps,
            slack=math.inf,
            extend=False,
        )
        found[name] = told(study)
        print(
            f"{name}: estimate {found[name].estimate:.1f} s, real {found[name].real:.1f} s, ratio {found[name].ratio:.2f}"
            + ("" if 1 / WITHIN <= found[name].ratio <= WITHIN else f"  (not within {WITHIN})")
        )
    return found


def told(study: lr_batch.Study) -> Told:
    """The estimate, and the time of the same programs on all trials."""
    lr_batch.check(study)  # before either: it is done once for the same parts
    programs, plan = lr_batch.Programs(), planned(study)
    estimate = forecast(study, plan, programs)
    result = lr_batch.run(
        dataclasses.replace(study, lanes=plan.execution), programs=programs, width=plan.width
    )
    return Told(estimate.training, result.engine.seconds - result.engine.compile_seconds)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:])
