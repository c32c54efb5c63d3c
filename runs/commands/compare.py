"""`lr-batch compare`: one curve for each optimizer, one figure, one table."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import tyro

from runs.commands.options import OutputOptions, StudyOptions


@dataclasses.dataclass(frozen=True)
class Compare:
    """Measure the curves of several optimizers, each with its own tuned rate at every batch size."""

    study: Annotated[StudyOptions, tyro.conf.arg(name="")] = StudyOptions()
    optimizers: Annotated[str, tyro.conf.arg(metavar="NAME,NAME,...")] = "sgd,momentum,adam"
    """Names of `lr-batch list optimizers` or FILE.py:NAME. The first is what the others are compared with."""
    output: Annotated[OutputOptions, tyro.conf.arg(name="")] = OutputOptions()

    def __call__(self) -> None:
        from lr_batch import StudyError
        from runs.compare.outcome import compare, print_comparison, write_comparison
        from runs.compare.run import compared_in_folder
        from runs.write import json_text

        names = [name.strip() for name in self.optimizers.split(",") if name.strip()]
        if len(set(names)) != len(names) or len(names) < 2:
            raise ValueError(f"--optimizers: needs two or more different names, got {self.optimizers!r}")
        options = self.study.with_goal(names[0])  # proposed once: all are compared at one goal
        studies = {name: options.study(name) for name in names}  # all are checked before any is run
        with compared_in_folder(studies, self.output.out, add=self.output.add) as compared:
            comparison = compare(compared.outcomes)
            write_comparison(comparison, compared.folder)
        if self.output.json:
            print(json_text(comparison.summary))
        else:
            print_comparison(comparison, sys.stdout)
            print(f"\nfigures, summary.json and a folder for each optimizer: {compared.folder}")
        if compared.failures:
            raise StudyError("; ".join(compared.failures))
