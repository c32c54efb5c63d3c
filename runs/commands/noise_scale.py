"""`lr-batch noise-scale`: how large a batch must be before its gradient's signal outweighs the noise."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import tyro

from runs.commands.options import OutputOptions, StudyOptions


@dataclasses.dataclass(frozen=True)
class NoiseScale:
    """Train one trial and measure the noise scale of its gradients along the way. About a minute.

    Without a batch size: the workload's middle one. Without a learning rate: the best one there, found first.
    """

    study: Annotated[StudyOptions, tyro.conf.arg(name="")] = StudyOptions(seeds="1")
    optimizer: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "sgd"
    """A name of `lr-batch list optimizers`, or FILE.py:NAME for your own
    hparams -> optax.GradientTransformation."""
    output: Annotated[OutputOptions, tyro.conf.arg(name="")] = OutputOptions()

    def __call__(self) -> None:
        from runs.noise.outcome import print_noise, write_outcome
        from runs.noise.run import best_rate, measured
        from runs.write import json_text

        study = self.study.study(self.optimizer)
        if self.study.batch_sizes is None:
            group = study.workload.group
            sizes = [size for size in study.batch_sizes if size > group] or study.batch_sizes
            study = dataclasses.replace(study, batch_sizes=(sizes[len(sizes) // 2],))
        if (
            study.batch_sizes[0] > study.workload.group
            and len(study.batch_sizes) == 1
            and len(study.space.get("learning_rate", ())) > 1
        ):
            rate = best_rate(study)
            study = dataclasses.replace(study, space={**study.space, "learning_rate": (rate,)})
        folder, summary = measured(study, self.output.out)
        write_outcome(folder)
        if self.output.json:
            print(json_text(summary))
            return
        print_noise(summary, sys.stdout)
        print(f"\nfigure, report.html and summary.json: {folder}")
