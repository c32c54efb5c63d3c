"""`lr-batch compare`: one curve for each optimizer and schedule, one figure, one table."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from runs.commands.elsewhere import ElsewhereOptions
from runs.commands.options import OutputOptions, RunOptions, StudyOptions, optional
from runs.commands.search_options import SearchOptions

if TYPE_CHECKING:
    from lr_batch import Study
    from runs.compare.run import Compared


@dataclasses.dataclass(frozen=True)
class ComparedStudy(StudyOptions):
    workload: Annotated[str, tyro.conf.Suppress] = StudyOptions.workload  # is the one of `Compare.named`


@dataclasses.dataclass(frozen=True)
class Compare:
    """Measure the curves of several optimizers or schedules, each with its own tuned rate at every batch size.

    Two or more folders of `lr-batch curve` instead of a WORKLOAD are compared as they are.
    """

    study: Annotated[ComparedStudy, tyro.conf.arg(name="")] = ComparedStudy()
    named: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="WORKLOAD|DIR", help_behavior_hint="")
    ] = ()
    """A workload to measure, digits_mlp if none is named; or two or more folders, of which the first is the baseline."""
    optimizers: Annotated[str | None, optional("NAME,NAME,...")] = None
    """Names of `lr-batch list optimizers` or FILE.py:NAME. The first is what the others are compared with. Default:
    sgd,momentum,adam, or sgd where --schedules are compared."""
    schedules: Annotated[str, tyro.conf.arg(metavar="NAME,NAME,...")] = "constant"
    """Names of `lr-batch list schedules`, each with every optimizer; each takes what it knows of --set."""
    by: Annotated[
        Literal["steps", "examples", "seconds", "memory"] | None, optional("{steps,examples,seconds,memory}")
    ] = None
    """Also rank them by the least that each needs at any batch size: steps; examples; seconds of one trial as they were
    trained here, evaluations included, which an otherwise idle machine has to have measured; bytes of one trial. Says
    whether budgets, settings and seeds are equal, and whose best setting lies at the edge of its space."""
    regularizer: Annotated[str | None, optional("NAME")] = None
    """A name of `lr-batch list regularizers`, with every optimizer; its strength is set by --set, such as dropout=0.1."""
    search: Annotated[SearchOptions, tyro.conf.arg(name="")] = SearchOptions()
    how: Annotated[RunOptions, tyro.conf.arg(name="")] = RunOptions()
    output: Annotated[OutputOptions, tyro.conf.arg(name="")] = OutputOptions()
    elsewhere: Annotated[ElsewhereOptions, tyro.conf.arg(name="")] = ElsewhereOptions()

    def __call__(self) -> None:
        if len(self.named) > 1:
            return self._stored()
        if self.named:
            study = dataclasses.replace(self.study, workload=self.named[0])
            return dataclasses.replace(self, named=(), study=study)()
        from runs.compare.run import compared_in_folder

        studies = self.studies()  # all are checked before any is run
        self.how.save(self)
        if self.how.dry_run:
            return _print_dry_runs(studies)
        limit = self.how.seconds
        optimizers = {name: name.partition(", ")[0] for name in studies}  # which have no commas in them
        add = self.output.add
        with (
            self.elsewhere.hand_outs(self.study.workload, optimizers) as elsewhere,
            compared_in_folder(
                studies, self.output.out, add=add, elsewhere=elsewhere, time_limit=limit
            ) as compared,
        ):
            self._report(compared)

    def _report(self, compared: Compared) -> None:
        from lr_batch import StudyError
        from runs.compare.outcome import compare, print_comparison, ranked, write_comparison
        from runs.compare.run import stored_folders
        from runs.write import json_text

        comparison = compare(compared.outcomes)
        if compared.outcomes and self.by:
            comparison = ranked(comparison, self.by, stored_folders(compared.folder))
        if compared.outcomes:
            write_comparison(comparison, compared.folder)
        for line in compared.unfinished:
            print(line, file=sys.stderr if self.output.json else sys.stdout)
        if not compared.outcomes:
            return
        if self.output.json:
            print(json_text(comparison.summary))
        else:
            print_comparison(comparison, sys.stdout)
            print(f"\nfigures, report.html, summary.json and a folder for each optimizer: {compared.folder}")
        if compared.failures:
            raise StudyError("; ".join(compared.failures))

    def _stored(self) -> None:
        """Studies that were measured before; nothing is trained."""
        from runs.compare.outcome import compare, print_comparison, ranked, write_comparison
        from runs.compare.run import opened_folders
        from runs.write import json_text

        changed = [
            field.name
            for field in dataclasses.fields(self)
            if field.name not in ("study", "named", "output", "by")
            and getattr(self, field.name) != field.default
        ]
        if changed or self.study != ComparedStudy():
            raise ValueError(
                "compare: folders hold what was measured; of the options only --by, --out, --json and --quiet go with "
                "them"
            )
        folder, outcomes = opened_folders(self.named, self.output.out)
        comparison = compare(outcomes)
        if self.by:
            comparison = ranked(comparison, self.by, [Path(name) for name in self.named])
        write_comparison(comparison, folder)
        if self.output.json:
            print(json_text(comparison.summary))
        else:
            print_comparison(comparison, sys.stdout)
            print(f"\nfigures, report.html and summary.json: {folder}")

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
                optimizer,
                schedule,
                self.regularizer,
                search=self.search,
                without=known - own[schedule],
            )
            for optimizer in optimizers
            for schedule in schedules
        }


def _print_dry_runs(studies: Mapping[str, Study]) -> None:
    from runs.curve.dry_run import print_dry_run

    for name, study in studies.items():
        print(f"{name}:")
        print_dry_run(study, sys.stdout)


def _different(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"{option}: needs two or more different names, got {text!r}")
    return names
