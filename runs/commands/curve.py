"""`lr-batch curve`: the main job."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import tyro

from runs.commands.options import OutputOptions, StudyOptions


@dataclasses.dataclass(frozen=True)
class Curve:
    """Measure steps to the goal and best learning rate against batch size.

    Without any argument: handwritten digits, a small network, SGD; about a minute, offline.
    """

    study: Annotated[StudyOptions, tyro.conf.arg(name="")] = StudyOptions()
    optimizer: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "sgd"
    """A name of `lr-batch list optimizers`, or FILE.py:NAME for your own
    hparams -> optax.GradientTransformation."""
    output: Annotated[OutputOptions, tyro.conf.arg(name="")] = OutputOptions()

    def __call__(self) -> None:
        from runs.curve.run import run_in_folder, write_outcome
        from runs.curve.table import print_outcome

        study = self.study.study(self.optimizer)
        folder, result = run_in_folder(study, self.output.out, add=self.output.add)
        outcome = write_outcome(result, folder)
        if self.output.json:
            print(json.dumps(outcome.summary, indent=1))
            return
        print_outcome(result, outcome, sys.stdout)
        print(f"\nfigures, report.html, summary.json and the store: {folder}")
