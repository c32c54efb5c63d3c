"""`lr-batch transfer`: whether settings of a small network carry over to a large one."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from runs import load, parse
from runs.commands.options import WHOLE, Flag, Quiet, optional

if TYPE_CHECKING:
    from runs.transfer.family import Family
    from runs.transfer.run import TransferPlan


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Compare the best learning rate of several widths under the standard parameterization and under muP.

    Without any argument: a network with one hidden layer on handwritten digits, widths 64 to 2,048, Adam.
    """

    workload: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WORKLOAD")] = "digits_mlp"
    """digits_mlp, digits_cnn, pydoc_lm, or FILE.py:NAME for your own function `width -> Workload`."""
    widths: Annotated[str, tyro.conf.arg(metavar="LOW:HIGH:xFACTOR")] = "64:2048:x2"
    """Or a list 64,256,1024. Settings are those of the first one."""
    optimizer: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "adam"
    """sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw, nadam, lion or muon; or FILE.py:NAME for your own
    hparams -> transformation with an attribute `step_kind`, "sgd", "adam" or "muon"."""
    learning_rates: Annotated[str | None, optional("LOW:HIGH:NUM")] = None
    """Such as 1e-3:4:16, log-spaced, or a list. Default: the optimizer's."""
    layers: Annotated[int | None, WHOLE, optional("INT")] = None
    """Layers of the network, where it can have several."""
    batch_size: Annotated[str, tyro.conf.arg(metavar="INT")] = "64"
    """One, or several as 16:256:x4: then also whether the rate transfers over batch size and width together; tables and
    figures of the widths are of the first one."""
    steps: int = 100
    """Optimizer steps of each trial."""
    schedule: Annotated[str, tyro.conf.arg(metavar="SCHEDULE")] = "linear"
    """A name of `lr-batch list schedules`, over the steps; constant for rates that stay."""
    seeds: int = 4
    loss: Literal["training", "held-out"] = "training"
    """Whose final loss is compared."""
    zero_readout: bool = True
    """Whether output weights start at zero under muP, as its authors advise."""
    fans: Annotated[str | None, optional("FILE.py:NAME")] = None
    """Your own function (path, base shape, target shape) -> growth of (fan-in, fan-out) of a parameter, where
    shapes alone do not tell which axis is its input."""
    out: Annotated[Path | None, optional("DIR")] = None
    """Folder of the results. The same command again resumes there."""
    json: Flag = False
    """Print the summary alone, as JSON, on stdout."""
    quiet: Quiet = False

    def __call__(self) -> None:
        from runs.transfer.outcome import measure, print_transfer
        from runs.write import json_text

        folder, summary = measure(*self._family_and_plan(), self.out)
        if self.json:
            print(json_text(summary))
            return
        print_transfer(summary, sys.stdout)
        print(f"\nfigures, report.html, summary.json and the stores: {folder}")

    def _family_and_plan(self) -> tuple[Family, TransferPlan]:
        from hparam.mup.fan_growth import default_fans
        from hparam.mup.mup import checked_kind
        from lr_batch import as_optimizer
        from runs.transfer.family import Family
        from runs.transfer.run import TransferPlan

        optimizer = as_optimizer(load.named_or_loaded("--optimizer", self.optimizer))
        checked_kind(optimizer)
        rates = optimizer.space["learning_rate"]
        if self.learning_rates:
            rates = parse.values("--learning-rates", self.learning_rates)
        plan = TransferPlan(
            widths=parse.batch_sizes(self.widths, "--widths"),
            rates=tuple(sorted(set(rates))),
            batch_sizes=parse.batch_sizes(self.batch_size, "--batch-size"),
            steps=self.steps,
            seeds=self.seeds,
            schedule=self.schedule,
        )
        options = {} if self.layers is None else {"layers": self.layers}
        make = sized("workload", self.workload, options)
        fans: Any = default_fans
        if self.fans is not None:
            fans = load.named_or_loaded("--fans", self.fans)
        if not callable(fans):
            raise ValueError(f"--fans: must look like FILE.py:NAME and name a function, got {self.fans!r}")
        family = Family(make, optimizer, plan.widths[0], options, self.zero_readout, self.loss)
        return family._replace(fans=fans), plan


def sized(what: str, name: str, options: dict[str, int]) -> Any:
    """The function that makes a workload at a width."""
    import inspect

    from lr_batch import WORKLOADS
    from optim.arguments import type_of
    from optim.names import Registry

    takes = lambda make: inspect.signature(make).parameters
    known = {key: make for key, make in WORKLOADS.items() if "width" in takes(make)}
    make = load.named_or_loaded(what, name)
    make = Registry("workload with a width", known)[make] if isinstance(make, str) else make
    for option in ("width", *options):
        if not callable(make) or option not in takes(make):
            has = (
                f"it takes {', '.join(takes(make)) or 'nothing'}"
                if callable(make)
                else f"got {type_of(make)}"
            )
            raise ValueError(
                f"transfer: {name} must be a function with an argument called {option} that makes a Workload; {has}"
            )
    return make
