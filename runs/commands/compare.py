"""`lr-batch compare`: one curve for each optimizer, one figure, one table."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from runs.commands.options import OutputOptions, StudyOptions

if TYPE_CHECKING:
    from lr_batch import Result
    from runs.curve.analysis import Analysis


@dataclasses.dataclass(frozen=True)
class Compare:
    """Measure the curves of several optimizers, each with its own tuned rate at every batch size."""

    study: Annotated[StudyOptions, tyro.conf.arg(name="")] = StudyOptions()
    optimizers: Annotated[str, tyro.conf.arg(metavar="NAME,NAME,...")] = "sgd,momentum,adam"
    """Names of `lr-batch list optimizers` or FILE.py:NAME. The first is what the others are compared with."""
    output: Annotated[OutputOptions, tyro.conf.arg(name="")] = OutputOptions()

    def __call__(self) -> None:
        from lr_batch import StudyError
        from runs.compare.run import compare, print_comparison, write_comparison

        names = [name.strip() for name in self.optimizers.split(",") if name.strip()]
        if len(set(names)) != len(names) or len(names) < 2:
            raise ValueError(f"--optimizers: needs two or more different names, got {self.optimizers!r}")
        studies = {name: self.study.study(name) for name in names}  # all are checked before any is run
        workload = next(iter(studies.values())).workload
        folder = self.output.out or Path("lr-batch-results") / f"compare-{workload.name}"
        outcomes, failures = run_all(studies, folder, add=self.output.add)
        comparison = compare(outcomes)
        write_comparison(comparison, folder)
        if self.output.json:
            print(json.dumps(comparison.summary, indent=1))
        else:
            print_comparison(comparison, sys.stdout)
            print(f"\nfigures, summary.json and a folder for each optimizer: {folder}")
        if failures:
            raise StudyError("; ".join(failures))


def run_all(studies: dict, folder: Path, *, add: bool) -> tuple[list[tuple[Result, Analysis]], list[str]]:
    """Runs one study after the other; one that cannot be compiled is reported and left out."""
    from lr_batch import StudyError
    from runs.curve.run import run_in_folder, write_outcome

    outcomes, failures = [], []
    for name, study in studies.items():
        print(f"{name}", file=sys.stderr)
        own = folder / name.replace("/", "_").replace(":", "_")
        try:
            _, result = run_in_folder(study, own, add=add)
        except StudyError as error:
            print(f"lr-batch: {error}", file=sys.stderr)
            failures.append(str(error))
            continue
        outcomes.append((result, write_outcome(result, own)))
    if not outcomes:
        raise StudyError("; ".join(failures))
    return outcomes, failures
