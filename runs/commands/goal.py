"""`lr-batch goal`: which goal to ask for."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import tyro

from runs import load
from runs.commands.options import Quiet, optional


@dataclasses.dataclass(frozen=True)
class Goal:
    """Propose a goal: what a good setting reaches late, from a short training at one batch size."""

    workload: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WORKLOAD")] = "digits_mlp"
    """A name of `lr-batch list workloads`, or FILE.py:NAME for your own Workload."""
    optimizer: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "sgd"
    """A name of `lr-batch list optimizers`, or FILE.py:NAME for your own."""
    metric: Annotated[str | None, optional("METRIC")] = None
    """Held-out metric of the goal. Default: that of the workload's goal."""
    quiet: Quiet = False

    def __call__(self) -> None:
        from runs.text import Printer

        proposal = propose(self.workload, self.optimizer, self.metric)
        Printer(sys.stdout)(
            f"{proposal.goal}: reached late, after about {proposal.step:,} of {proposal.steps:,} steps, at batch size "
            f"{proposal.batch_size} and learning rate {proposal.learning_rate:.3g}; the metric, averaged in log step, "
            f"goes from {proposal.start:.3g} to {proposal.end:.3g} and differs between seeds by {proposal.noise:.2g}."
        )
        print(f'lr-batch curve {self.workload} --optimizer {self.optimizer} --goal "{proposal.goal}"')


def propose(workload: str, optimizer: str, metric: str | None = None):
    """A proposal for what was typed, with progress on stderr."""
    import lr_batch
    from runs.progress import ProgressLine

    made = load.named_or_loaded("workload", workload)
    with ProgressLine() as progress:
        return lr_batch.propose_goal(
            made, load.named_or_loaded("--optimizer", optimizer), metric=metric, on_chunk=progress
        )
