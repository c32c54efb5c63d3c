"""Options that several commands share, and the study they describe."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from runs import parse

if TYPE_CHECKING:
    from lr_batch import Study


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """What is trained."""

    workload: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WORKLOAD")] = "digits_mlp"
    """A name of `lr-batch list workloads`, or FILE.py:NAME for your own Workload."""
    batch_sizes: Annotated[str | None, tyro.conf.arg(metavar="LOW:HIGH:xFACTOR")] = None
    """Such as 1:1024:x2, or a list 1,2,8. Default: the workload's."""
    learning_rates: Annotated[str | None, tyro.conf.arg(metavar="LOW:HIGH:NUM")] = None
    """Such as 1e-3:4:16, log-spaced, or a list 0.1,0.3. Default: the optimizer's."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUES")] = ()
    """Values of further hyperparameters, such as momentum=0.9,0.99."""
    seeds: int = 4
    """Trials of each setting, with different initial parameters and order of examples."""
    goal: Annotated[str | None, tyro.conf.arg(metavar="METRIC<NUMBER")] = None
    """Held-out goal such as "loss<0.2". Default: the workload's."""
    budget: Annotated[int | None, tyro.conf.arg(metavar="STEPS")] = None
    """Most optimizer steps of one trial. Default: the workload's."""
    racing: bool = True
    """End a batch size's trials once the best is known: answers stay, cost falls."""
    extend: bool = True
    """Grow the grid of learning rates where the best one lies on its edge."""
    lanes: Literal["vmap", "map", "auto"] | None = None
    """How trials are executed side by side. Default: the workload's, mostly auto, which measures where in doubt."""

    def study(self, optimizer: str) -> Study:
        """The study for one optimizer: a registered name, or FILE.py:NAME."""
        import lr_batch
        import optim

        workload = parse.named_or_loaded("workload", self.workload)
        workload = workload() if callable(workload) and not isinstance(workload, lr_batch.Workload) else workload
        optimizer = parse.named_or_loaded("--optimizer", optimizer)
        space = dict(getattr(optimizer, "space", optim.OPTIMIZERS["sgd"].space))
        if isinstance(optimizer, str) and optimizer in optim.OPTIMIZERS:
            space = dict(optim.OPTIMIZERS[optimizer].space)
        if self.learning_rates:
            space["learning_rate"] = parse.values("--learning-rates", self.learning_rates)
        return lr_batch.Study(
            workload=workload,
            optimizer=optimizer,
            batch_sizes=parse.batch_sizes(self.batch_sizes) if self.batch_sizes else None,
            space=space | parse.settings(self.set),
            seeds=self.seeds,
            goal=self.goal,
            budget=self.budget,
            slack=2.0 if self.racing else float("inf"),
            extend=self.extend,
            lanes=self.lanes,
        )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """Where the results go."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the study. Default: ./lr-batch-results/NAME. The same command again resumes there."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the summary alone, as JSON, on stdout."""
    add: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The folder holds this study with another grid: keep its trials and add the missing ones."""
