"""`lr-batch curve`: the main job."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from runs.commands.elsewhere import ElsewhereOptions
from runs.commands.options import Flag, OutputOptions, RunOptions, StudyOptions, optional
from runs.commands.search_options import SearchOptions

if TYPE_CHECKING:
    from lr_batch import Result


CURVE = "curve"


@dataclasses.dataclass(frozen=True)
class Curve:
    """Measure steps to the goal and best learning rate against batch size.

    Without any argument: handwritten digits, a small network, SGD; about a minute, offline.
    """

    study: Annotated[StudyOptions, tyro.conf.arg(name="")] = StudyOptions()
    optimizer: Annotated[str | None, optional("OPTIMIZER")] = None
    """A name of `lr-batch list optimizers`, or FILE.py:NAME for your own
    hparams -> optax.GradientTransformation. Default: sgd. A published panel, such as cifar10_resnet8, is trained as
    published where neither this nor schedule, regularizer, search, space or values are given; --trials and the other
    options of a search change its search alone."""
    schedule: Annotated[str | None, optional("SCHEDULE")] = None
    """A name of `lr-batch list schedules`: how the rate goes on from its peak, the learning rate. Its lengths and
    factors are given by --set. Default: constant."""
    regularizer: Annotated[str | None, optional("NAME")] = None
    """A name of `lr-batch list regularizers`; its strength is set by --set, such as dropout=0.1,0.3."""
    search: Annotated[SearchOptions, tyro.conf.arg(name="")] = SearchOptions()
    noise_scale: Flag = False
    """Also measure the gradient noise scale, of one trial at the best setting, after all others: what it predicts is
    drawn beside the critical batch size that was measured."""
    how: Annotated[RunOptions, tyro.conf.arg(name="")] = RunOptions()
    output: Annotated[OutputOptions, tyro.conf.arg(name="")] = OutputOptions()
    elsewhere: Annotated[ElsewhereOptions, tyro.conf.arg(name="")] = ElsewhereOptions()

    def __call__(self) -> None:
        self._as_published()._run()

    def _as_published(self) -> Curve:
        """With the recipe of a panel, where nothing is said of how it is trained."""
        from lr_batch.workloads import recipe_of

        names = (self.optimizer, self.schedule, self.regularizer, self.search.search)
        values = (self.study.learning_rates, self.study.set or None, self.search.space or None)
        if any(given is not None for given in (*names, *values)):
            return self
        if (recipe := recipe_of(self.study.workload)) is None:
            return self
        return dataclasses.replace(
            self,
            optimizer=recipe.optimizer,
            schedule=recipe.schedule,
            regularizer=recipe.regularizer,
            search=dataclasses.replace(
                self.search,
                search="quasi_random",
                space=recipe.space,
                trials=recipe.trials if self.search.trials is None else self.search.trials,
            ),
        )

    def _run(self) -> None:
        from runs.curve.run import run_in_folder

        optimizer = self.optimizer or "sgd"
        study = self.study.study(optimizer, self.schedule or "constant", self.regularizer, search=self.search)
        if self.noise_scale and study.batch_schedule:
            raise ValueError(
                "--noise-scale: batches that grow have no one noise scale; leave --batch-schedule out"
            )
        self.how.save(self)
        if self.how.dry_run:
            from runs.curve.dry_run import print_dry_run

            return print_dry_run(study, sys.stdout)
        limit = self.how.seconds
        with self.elsewhere.hand_outs(self.study.workload, {CURVE: optimizer}) as elsewhere:
            folder, result = run_in_folder(
                study, self.output.out, add=self.output.add, time_limit=limit, hand_out=elsewhere.get(CURVE)
            )
            if self.noise_scale and result.num_trials:
                from runs.noise.beside_curve import measure_beside

                measure_beside(study, result, folder)
            self._report(folder, result)

    def _report(self, folder: Path, result: Result) -> None:
        from runs.curve.outcome import write_outcome
        from runs.curve.table import print_outcome
        from runs.write import json_text

        if not result.num_trials:
            print(*result.engine.events, sep="\n")
            return
        outcome = write_outcome(result, folder)
        if self.output.json:
            print(json_text(outcome.summary))
            return
        print_outcome(result, outcome, sys.stdout)
        print(f"\nfigures, report.html, summary.json and the store: {folder}")
