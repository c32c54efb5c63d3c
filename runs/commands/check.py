"""`lr-batch check`: whether a model and an optimizer are what they seem, before anything is trained."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import tyro

from runs.commands.options import StudyOptions


@dataclasses.dataclass(frozen=True)
class Check:
    """Check a workload and an optimizer on real rows of the data. Nothing is trained; a few seconds.

    Start here with a model of your own. `curve`, `tune` and the others check the same before they train.
    """

    study: Annotated[StudyOptions, tyro.conf.arg(name="")] = StudyOptions()
    optimizer: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "sgd"
    """A name of `lr-batch list optimizers`, or FILE.py:NAME for your own
    hparams -> optax.GradientTransformation."""

    def __call__(self) -> None:
        from lr_batch import check
        from optim.names import counted

        study = self.study.study(self.optimizer)
        for line in check(study):
            print(line)
        print(f"{study.workload.name} is in order: {counted(study.num_trials, 'trial')} can be trained")
