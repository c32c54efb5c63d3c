"""`lr-batch tune`: the best setting of several hyperparameters at one batch size."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from runs import load, parse
from runs.commands.elsewhere import ElsewhereOptions
from runs.commands.options import WHOLE, Flag, Quiet, Settings, optional
from runs.commands.search_options import Options, Spaces, complete_space, parse_option

if TYPE_CHECKING:
    from hparam import Space
    from hparam.tuning import TuningPlan
    from optim import Optimizer

TUNE = "tune"
EPOCHS = 10  # of the default budget


@dataclasses.dataclass(frozen=True)
class Tune:
    """Search for the best setting at one batch size; the winner is trained again on fresh seeds.

    Without any argument: SGD's learning rate on handwritten digits, by a Bayesian search.
    """

    workload: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WORKLOAD")] = "digits_mlp"
    """A name of `lr-batch list workloads`, or FILE.py:NAME for your own Workload."""
    optimizer: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "sgd"
    """A name of `lr-batch list optimizers`, or FILE.py:NAME."""
    schedule: Annotated[str, tyro.conf.arg(metavar="SCHEDULE")] = "constant"
    """A name of `lr-batch list schedules`; its lengths and factors are given by --set, or searched by --space, such as
    decay_steps=linear(20%,100%)."""
    search: Annotated[str, tyro.conf.arg(metavar="SEARCH")] = "bayes"
    """A name of `lr-batch list searches`."""
    space: Spaces = ()
    """One hyperparameter each time, such as learning_rate=log(1e-4,1), momentum=log1m(0.9,0.999), a linear
    or int range, or choice(1,2,4). Default: the optimizer's learning rates."""
    set: Settings = ()
    """A hyperparameter that all trials share, such as momentum=0.9."""
    trials: Annotated[int, WHOLE] = 64
    """Cost of the search in full-length trials, shorter ones by their steps. Ask for more and it goes on."""
    budget: Annotated[int | None, WHOLE, optional("STEPS")] = None
    """Steps of a full-length trial. Default: ten epochs, at most the workload's budget."""
    batch_size: Annotated[int, WHOLE] = 64
    goal: Annotated[str | None, optional("METRIC<NUMBER")] = None
    """Minimise the steps to this held-out goal. Default: the held-out metric at the end of the budget."""
    option: Options = ()
    """An option of the search, such as eta=4 or levels=5."""
    ask: Annotated[int, WHOLE] = 16
    """Settings that the search proposes at a time."""
    width: Annotated[int, WHOLE] = 8
    """Trials side by side in one program."""
    confirm: Annotated[int, WHOLE] = 8
    """Fresh seeds on which the best settings are trained again."""
    seed: Annotated[int, WHOLE] = 0
    """Of the search's draws and its trials."""
    out: Annotated[Path | None, optional("DIR")] = None
    """Folder of the search. Default: ./lr-batch-results/NAME. The same command again resumes there."""
    json: Flag = False
    """Print the summary alone, as JSON, on stdout."""
    quiet: Quiet = False
    elsewhere: Annotated[ElsewhereOptions, tyro.conf.arg(name="")] = ElsewhereOptions()

    def __call__(self) -> None:
        from runs.tune.outcome import print_outcome, write_outcome
        from runs.tune.run import tune_in_folder
        from runs.workers.specification import Tuned
        from runs.write import json_text

        plan, optimizers = self.plan(), {TUNE: self.optimizer}
        with self.elsewhere.hand_outs(self.workload, optimizers, tuned=Tuned(plan.to_goal)) as elsewhere:
            folder, tuning = tune_in_folder(plan, self.out, elsewhere.get(TUNE))
        summary = write_outcome(tuning, folder)
        if self.json:
            print(json_text(summary))
            return
        print_outcome(tuning, summary, sys.stdout)
        print(f"\nfigures, report.html, summary.json and the store: {folder}")

    def plan(self) -> TuningPlan:
        """What was typed, checked."""
        import lr_batch
        from hparam.tuning import TuningPlan
        from hparam.tuning.plan import study_of
        from lr_batch import num_examples

        workload = lr_batch.as_workload(load.named_or_loaded("workload", self.workload))
        optimizer = lr_batch.as_optimizer(load.named_or_loaded("--optimizer", self.optimizer))
        examples = num_examples(workload.train_data)
        space, fixed, units = self._space(optimizer, examples)
        epochs = -(-EPOCHS * examples // max(1, self.batch_size))
        study = study_of(
            space,
            fixed,
            workload=workload,
            optimizer=optimizer,
            schedule=lr_batch.Schedule(self.schedule, units) if units else self.schedule,
            batch_sizes=(self.batch_size,),
            goal=self.goal,
            budget=self.budget if self.budget is not None else min(workload.budget, epochs),
        )
        return TuningPlan(
            study=study,
            space=space,
            fixed=fixed,
            search=self.search,
            options=dict(map(parse_option, self.option)),
            trials=self.trials,
            ask=self.ask,
            width=self.width,
            to_goal=self.goal is not None,
            confirm=self.confirm,
            seed=self.seed,
        )

    def _space(
        self, optimizer: Optimizer, num_examples: int
    ) -> tuple[Space, dict[str, float], dict[str, str]]:
        """What is searched and what is fixed: as typed, and the optimizer's own space for the rest; units of lengths."""
        from lr_batch import parse_length

        texts, units = parse.without_units(self.space, num_examples)
        typed = {name: _single(name, values) for name, values in parse.settings(self.set).items()}
        for name, value in typed.items():
            if isinstance(value, str):
                typed[name], units[name] = parse_length(f"--set: {name}", value, num_examples)
        space, fixed = complete_space(
            texts, {name: (value,) for name, value in typed.items()}, optimizer.space
        )
        return space, {name: values[0] for name, values in fixed.items()}, units


def _single(name: str, values: tuple[Any, ...]) -> Any:
    if len(values) != 1:
        raise parse.UsageError(f"--set: {name} takes one value here, got {len(values)}; search it by --space")
    return values[0]
