"""Whether `--dry-run` tells the time: its estimate beside the real time of four studies, on an idle machine."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from typing import NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import hparam
import lr_batch
from runs.curve.dry_run import forecast, planned

WITHIN = 1.5  # factor within which the estimate should be, above and below


class Told(NamedTuple):
    """Seconds of training: as estimated, as they were, and at most, if no race had ended before the budget."""

    estimate: float
    real: float
    most: float

    @property
    def ratio(self) -> float:
        return self.estimate / self.real


def main(*, quick: bool = False) -> dict[str, Told]:
    """Estimates each study as `lr-batch curve --dry-run` does, then trains it.

    What both leave out is told apart: programs are compiled before, and no figures are drawn. Rates that are added at the
    edge of a grid are not estimated, so grids do not grow here. Command: `python -m runs.recipes.dry_run`; about six
    minutes on 2 idle CPU cores. Expect every ratio to lie between 1 / 1.5 and 1.5. On a machine that does other work, the
    ratios say how much that changed in between.

    Args:
      quick: a small study alone.
    """
    found = {}
    for name, make in {"digits_mlp, small": small}.items() if quick else STUDIES.items():
        found[name] = one = told(make())
        print(
            f"{name}: estimate {one.estimate:.1f} s, at most {one.most:.1f} s, real {one.real:.1f} s, "
            f"ratio {one.ratio:.2f}"
            + ("" if 1 / WITHIN <= one.ratio <= WITHIN else f"  (not within {WITHIN})"),
            flush=True,
        )
    return found


def default() -> lr_batch.Study:
    """`lr-batch curve`: 44 races of 16 trials."""
    return lr_batch.Study(extend=False)


def small() -> lr_batch.Study:
    """Two races of few steps."""
    return lr_batch.Study(batch_sizes=(64, 512), space={"learning_rate": (0.3, 1.0)}, seeds=1, extend=False)


def unraced() -> lr_batch.Study:
    """A goal out of reach and no race: every trial spends its budget."""
    return lr_batch.Study(
        "digits_mlp",
        "muon",
        batch_sizes=(16, 128),
        space={**lr_batch.as_optimizer("muon").space, "learning_rate": lr_batch.log_grid(1e-4, 1e-2, 8)},
        seeds=2,
        goal="loss<0",
        budget=300,
        slack=math.inf,
        extend=False,
    )


def followed() -> lr_batch.Study:
    """The best rate followed through a grid, where a step is expensive."""
    space = {"learning_rate": lr_batch.log_grid(0.05, 2.0, 8)}
    return lr_batch.Study(
        "pydoc_lm", batch_sizes=(4, 8, 16, 32, 64), space=space, seeds=2, extend=False, follow=True
    )


def searched() -> lr_batch.Study:
    """A convolutional network, by the same points at every batch size, with a schedule."""
    space = hparam.Space({"learning_rate": hparam.log(1e-2, 1.0), "momentum": hparam.log1m(0, 0.99)})
    return lr_batch.Study(
        "digits_cnn",
        "nesterov",
        batch_sizes=(32, 64, 128, 256),
        space={"decay_steps": ["50%"], "end_factor": [0.01]},
        schedule="linear",
        design=hparam.search_design(space, "quasi_random", trials=16),
        seeds=2,
        budget="20epochs",
    )


STUDIES: dict[str, Callable[[], lr_batch.Study]] = {
    "digits_mlp, sgd, as by default": default,
    "digits_mlp, muon, without a race": unraced,
    "pydoc_lm, sgd, following the best rate": followed,
    "digits_cnn, Nesterov, quasi-random": searched,
}


def told(study: lr_batch.Study) -> Told:
    """The estimate, and the time of the same programs on all trials."""
    lr_batch.check(study)  # before either: it is done once for the same parts
    programs, plan = lr_batch.Programs(), planned(study)
    estimate = forecast(study, plan, programs)
    result = lr_batch.run(
        dataclasses.replace(study, lanes=plan.execution), programs=programs, width=plan.width
    )
    real = result.engine.seconds - result.engine.compile_seconds
    return Told(estimate.training if estimate.likely is None else estimate.likely, real, estimate.training)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:])
