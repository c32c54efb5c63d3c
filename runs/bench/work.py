"""What all peers of a benchmark work on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from lr_batch import Study


def _optional(metavar: str) -> Any:
    """As `runs.commands.options.optional`, which this module cannot import: the command `bench` imports it."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclasses.dataclass(frozen=True)
class Work:
    """A study as plain values that a child process can read.

    Its grid is fixed: a grid that grows by itself would give every peer other work.
    """

    workload: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WORKLOAD")] = "digits_mlp"
    """A name of `lr-batch list workloads`, or FILE.py:NAME for your own Workload."""
    optimizer: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "sgd"
    """A name of `lr-batch list optimizers`, or FILE.py:NAME."""
    batch_sizes: Annotated[str | None, _optional("LOW:HIGH:xFACTOR")] = None
    """Default: the workload's, less for the slower ones."""
    learning_rates: Annotated[str | None, _optional("LOW:HIGH:NUM")] = None
    """Default: the optimizer's, fewer for the slowest workload."""
    seeds: Annotated[int | None, _optional("INT")] = None
    """Trials of each setting. Default: 4, less for the slower ones."""
    goal: Annotated[str | None, _optional("METRIC<NUMBER")] = None
    """Default: the workload's, another for the slowest."""
    budget: Annotated[int | None, _optional("STEPS")] = None
    """Most steps of one trial. Default: the workload's, less for the slower ones."""

    def filled(self) -> Work:
        """With the defaults of `REDUCED` where nothing was asked for."""
        defaults = {"seeds": 4, **REDUCED.get(self.workload, {})}
        return dataclasses.replace(
            self, **{name: value for name, value in defaults.items() if getattr(self, name) is None}
        )

    def quick(self) -> Work:
        """Two short trials."""
        return dataclasses.replace(
            self, batch_sizes="32", learning_rates="0.05,0.5", seeds=1, budget=40, goal=self.goal or "loss<1"
        )

    def study(self, *, racing: bool = True) -> Study:
        from runs.commands.options import StudyOptions  # the command `bench` imports this module

        fields = {
            name: value for name, value in dataclasses.asdict(self.filled()).items() if name != "optimizer"
        }
        study = StudyOptions(**fields, racing=racing, extend=False, no_follow=True).study(self.optimizer)
        workload, metric = study.workload, study.goal.metric
        if workload.weights or workload.statistics or workload.augment or metric in workload.metrics:
            raise ValueError(
                f"bench: the loops beside the engine know means over examples alone, {workload.name} has weights, batch "
                f"statistics, augmentation, or {metric} as its goal: take a workload with a plain loss or error"
            )
        return study


# Their default studies take hours on two cores, even here.
REDUCED = {
    "fashion_mnist_fc": {"batch_sizes": "8:2048:x4", "seeds": 2, "budget": 4_000},
    "fashion_mnist_simple_cnn": {
        "batch_sizes": "32:256:x2",
        "learning_rates": "0.01:0.5:12",
        "seeds": 2,
        "goal": "error<0.2",
        "budget": 600,
    },
    "pydoc_lm": {"batch_sizes": "1:256:x4", "seeds": 2, "budget": 4_000},
    "digits_cnn": {"batch_sizes": "1:1024:x4", "seeds": 2, "budget": 4_000},
}
