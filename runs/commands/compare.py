"""`lr-batch compare`: one curve for each optimizer and schedule, one figure, one table."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated

import tyro

from runs.commands.elsewhere import ElsewhereOptions, refuse_given_up
from runs.commands.options import OutputOptions, StudyOptions, optional
from runs.commands.search_options import SearchOptions

if TYPE_CHECKING:
    from lr_batch import Study


@dataclasses.dataclass(frozen=True)
class Compare:
    """Measure the curves of several optimizers or schedules, each with its own tuned rate at every batch size."""

    study: Annotated[StudyOptions, tyro.conf.arg(name="")] = StudyOptions()
    optimizers: Annotated[str | None, optional("NAME,NAME,...")] = None
    """Names of `lr-batch list optimizers` or FILE.py:NAME. The first is what the others are compared with. Default:
    sgd,momentum,adam, or sgd where --schedules are compared."""
    schedules: Annotated[str, tyro.conf.arg(metavar="NAME,NAME,...")] = "constant"
    """Names of `lr-batch list schedules`, each with every optimizer; each takes what it knows of --set."""
    search: Annotated[SearchOptions, tyro.conf.arg(name="")] = SearchOptions()
    output: Annotated[OutputOptions, tyro.conf.arg(name="")] = OutputOptions()
    elsewhere: Annotated[ElsewhereOptions, tyro.conf.arg(name="")] = ElsewhereOptions()

    def __call__(self) -> None:
        from lr_batch import StudyError
        from runs.compare.outcome import compare, print_comparison, write_comparison
        from runs.compare.run import compared_in_folder
        from runs.write import json_text

        studies = self.studies()  # all are checked before any is run
        optimizers = {name: name.partition(", ")[0] for name in studies}  # which have no commas in them
        elsewhere = self.elsewhere.hand_outs(self.study.workload, optimizers)
        with compared_in_folder(
            studies, self.output.out, add=self.output.add, elsewhere=elsewhere
        ) as compared:
            comparison = compare(compared.outcomes)
            write_comparison(comparison, compared.folder)
        if self.output.json:
            print(json_text(comparison.summary))
        else:
            print_comparison(comparison, sys.stdout)
            print(f"\nfigures, summary.json and a folder for each optimizer: {compared.folder}")
        if compared.failures:
            raise StudyError("; ".join(compared.failures))
        refuse_given_up(elsewhere.values())

    def studies(self) -> dict[str, Study]:
        """By the names of optimizer and schedule."""
        from lr_batch import Schedule

        schedules = _different("--schedules", self.schedules)
        default = "sgd,momentum,adam" if len(schedules) == 1 else "sgd"
        optimizers = _different("--optimizers", default if self.optimizers is None else self.optimizers)
        if len(optimizers) * len(schedules) < 2:
            raise ValueError(
                f"--optimizers: needs two or more different names, got {self.optimizers!r}; or --schedules does"
            )
        own = {schedule: set(Schedule(schedule).parameters) for schedule in schedules}
        known = set().union(*own.values())
        options = self.study.with_goal(optimizers[0])  # proposed once: all are compared at one goal
        return {
            optimizer if len(schedules) == 1 else f"{optimizer}, {schedule}": options.study(
                optimizer, schedule, search=self.search, without=known - own[schedule]
            )
            for optimizer in optimizers
            for schedule in schedules
        }


def _different(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"{option}: needs two or more different names, got {text!r}")
    return names
