"""`lr-batch regularize`: how much of a regularizer is best, at each batch size."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from runs import load, parse
from runs.commands.options import NUMBER, WHOLE, Flag, Quiet, Settings, optional

if TYPE_CHECKING:
    from lr_batch import Goal, Study
    from reg import Regularizer


@dataclasses.dataclass(frozen=True)
class Regularize:
    """Measure training and held-out performance against the strength of a regularizer.

    Every strength is trained with every learning rate, at every batch size, for the same number of epochs.
    """

    workload: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WORKLOAD")] = "digits_mlp"
    """A name of `lr-batch list workloads`, or FILE.py:NAME for your own Workload."""
    regularizer: Annotated[str, tyro.conf.arg(metavar="NAME")] = "weight_decay"
    """A name of `lr-batch list regularizers`."""
    strengths: Annotated[str | None, optional("LOW:HIGH:NUM")] = None
    """Such as 1e-4:1:5, log-spaced, or a list 0,0.1,0.3. Off is always added. Default: the regularizer's."""
    optimizer: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "sgd"
    """A name of `lr-batch list optimizers`, or FILE.py:NAME for your own hparams -> transformation."""
    learning_rates: Annotated[str | None, optional("LOW:HIGH:NUM")] = None
    """Such as 1e-3:4:8, log-spaced, or a list. Default: every second one of the optimizer's."""
    batch_sizes: Annotated[str, tyro.conf.arg(metavar="LOW:HIGH:xFACTOR")] = "32,256"
    """Such as 32:512:x4, or a list."""
    set: Settings = ()
    """Values of a further hyperparameter, such as momentum=0.9 or l1_ratio=0.5,1."""
    epochs: Annotated[float, NUMBER] = 30.0
    """Passes over the training data of every trial."""
    seeds: Annotated[int, WHOLE] = 4
    """Trials of each setting, at least 2: intervals are over them."""
    metric: Annotated[str | None, optional("METRIC")] = None
    """Held-out metric to judge by, such as error, or "accuracy>" where more is better. Default: that of the workload's
    goal."""
    out: Annotated[Path | None, optional("DIR")] = None
    """Folder of the study. Default: ./lr-batch-results/NAME. The same command again resumes there."""
    json: Flag = False
    """Print the summary alone, as JSON, on stdout."""
    quiet: Quiet = False

    def __call__(self) -> None:
        from runs.regularize.outcome import print_outcome, write_outcome
        from runs.regularize.run import generalized_in_folder
        from runs.write import json_text

        with generalized_in_folder(self.study(), self.epochs, self.out) as (folder, fits):
            outcome = write_outcome(fits, folder)
        if self.json:
            print(json_text(outcome.summary))
            return
        print_outcome(fits, outcome, sys.stdout)
        print(f"\nfigures, report.html, summary.json and the finished chunks: {folder}")

    def study(self) -> Study:
        """The study that the options describe."""
        import lr_batch
        import reg

        if self.seeds < 2:
            raise ValueError(f"--seeds: needs at least 2, since intervals are over seeds, got {self.seeds}")
        regularizer = reg.REGULARIZERS[self.regularizer]
        workload = lr_batch.as_workload(load.named_or_loaded("workload", self.workload))
        optimizer = lr_batch.as_optimizer(load.named_or_loaded("--optimizer", self.optimizer))
        return lr_batch.Study(
            workload=workload,
            optimizer=optimizer,
            regularizer=regularizer,
            batch_sizes=parse.batch_sizes(self.batch_sizes),
            space=self._space(optimizer.space, regularizer),
            seeds=self.seeds,
            goal=self._goal(workload.goal),
        )

    def _goal(self, goal: Goal) -> Goal:
        """The workload's, or that of the metric that was typed; its threshold plays no part."""
        if self.metric is None or self.metric == goal.metric:
            return goal
        return goal._replace(metric=self.metric.rstrip("<>"), above=self.metric.endswith(">"))

    def _space(
        self, default: Mapping[str, Sequence[float]], regularizer: Regularizer
    ) -> dict[str, Sequence[float | str]]:
        further, strength = parse.settings(self.set), regularizer.strength
        space: dict[str, Sequence[float | str]] = {
            **default,
            "learning_rate": default["learning_rate"][::2],
            **regularizer.space,
            **further,
        }
        for option, text, name in (
            ("--learning-rates", self.learning_rates, "learning_rate"),
            ("--strengths", self.strengths, strength),
        ):
            if text is not None:
                if name in further:
                    raise parse.UsageError(f"{option} and --set {name} are the same; give one")
                space[name] = parse.values(option, text)
        return space | {strength: (regularizer.off, *space[strength])}
