"""`lr-batch report`, `export`, `verify`: what a folder of results holds, again, for others, and whether it is whole."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from runs.commands.options import optional

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]


@dataclasses.dataclass(frozen=True)
class Report:
    """Draw the figures, the page and the tables of any folder again from what it holds, without training anything."""

    folder: Folder
    goal: Annotated[str | None, tyro.conf.arg(metavar="METRIC<NUMBER", help_behavior_hint="")] = None
    """Of a study of `curve`: read its trials at another goal of the same metric. Figures go to DIR/goals."""
    reference: Annotated[str | None, tyro.conf.arg(metavar="shallue2019", help_behavior_hint="")] = None
    """Of a panel's curve: lay the published points over it, as DIR/reference.png, and say how far they lie apart. On a
    stand-in or at another scale the shapes alone are compared."""

    figures: Annotated[Literal["svg", "pdf"] | None, optional("{svg,pdf}")] = None
    """Write every figure in this format too, for a paper."""

    def __call__(self) -> None:
        from runs.plots import style

        before = style.FURTHER.set(self.figures)
        try:
            self._again()
        finally:
            style.FURTHER.reset(before)

    def _again(self) -> None:
        from runs.folder import kind_of

        known = kind_of(self.folder)
        if known.kind not in REPORTS:
            raise ValueError(
                f"report: {self.folder} holds results of lr-batch {known.kind}; name the folder that it lies in"
            )
        if self.goal is None and self.reference is None:
            REPORTS[known.kind](self.folder)
        elif known.kind == "curve":
            report_curve(self.folder, self.goal, self.reference)
        else:
            option = "--reference" if self.goal is None else "--goal"
            raise ValueError(
                f"report: {option} is of studies of lr-batch curve, {self.folder} is of {known.kind}"
            )


def report_curve(folder: Path, goal: str | None = None, reference: str | None = None) -> None:
    from lr_batch import at_goal
    from runs.curve.outcome import write_outcome
    from runs.curve.run import stored_result
    from runs.curve.table import print_outcome

    result = stored_result(folder)
    if reference is not None:
        from runs.reference import published

        published(reference, result)  # before anything is drawn
    if goal is not None:
        result = at_goal(result, goal)
        folder = folder / "goals" / f"{result.goal.metric}-{result.goal.threshold:g}"
        folder.mkdir(parents=True, exist_ok=True)
    outcome = write_outcome(result, folder)
    print_outcome(result, outcome, sys.stdout)
    if reference is not None:
        from runs.reference.outcome import write_reference
        from runs.text import Printer

        Printer(sys.stdout)("\n" + write_reference(result, outcome, reference, folder))


def report_compare(folder: Path) -> None:
    from runs.compare.outcome import compare, print_comparison, ranked, ranked_by, write_comparison
    from runs.compare.run import stored_comparison, stored_folders

    comparison = compare(stored_comparison(folder))
    if by := ranked_by(folder):
        comparison = ranked(comparison, by, stored_folders(folder))
    write_comparison(comparison, folder)
    print_comparison(comparison, sys.stdout)


def report_tune(folder: Path) -> None:
    from runs.tune.outcome import print_outcome, write_outcome
    from runs.tune.stored import stored_tuning

    tuning = stored_tuning(folder)
    print_outcome(tuning, write_outcome(tuning, folder), sys.stdout)


def report_regularize(folder: Path) -> None:
    from runs.regularize.outcome import print_outcome, write_outcome
    from runs.regularize.run import stored_fits

    fits = stored_fits(folder)
    print_outcome(fits, write_outcome(fits, folder), sys.stdout)


def report_transfer(folder: Path) -> None:
    from runs.transfer.outcome import print_transfer
    from runs.transfer.stored import write_stored

    print_transfer(write_stored(folder), sys.stdout)


def report_bench(folder: Path) -> None:
    from runs.bench.outcome import stored_report, write_outcome
    from runs.bench.table import print_bench

    report = stored_report(folder)
    write_outcome(report, folder)
    print_bench(report, sys.stdout)


def report_noise(folder: Path) -> None:
    from runs.noise.outcome import print_noise, write_outcome

    print_noise(write_outcome(folder), sys.stdout)


REPORTS: dict[str, Callable[[Path], None]] = {
    "curve": report_curve,
    "compare": report_compare,
    "tune": report_tune,
    "regularize": report_regularize,
    "transfer": report_transfer,
    "bench": report_bench,
    "noise-scale": report_noise,
}


@dataclasses.dataclass(frozen=True)
class Export:
    """Write the trials of a folder as a table, or as runs of TensorBoard, Weights & Biases (offline) or MLflow."""

    folder: Folder
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The file to write; its ending is the format: .csv, .json or .parquet. Of runs a new folder."""
    format: Annotated[
        Literal["csv", "json", "parquet", "tensorboard", "wandb", "mlflow"] | None,
        optional("{csv,json,parquet,tensorboard,wandb,mlflow}"),
    ] = None
    """Where the ending does not say it. The last three are extras, such as pip install 'lr-batch[mlflow]'."""
    each: Literal["trial", "batch-size"] = "trial"
    """Of what a run is made: each trial, or the best trial of each batch size."""

    def __call__(self) -> None:
        from optim.names import counted
        from runs.export import export
        from runs.trackers import TRACKERS, export_runs

        format = self.format or self.out.suffix.lstrip(".")
        if format in TRACKERS:
            exported = export_runs(self.folder, self.out, format, self.each)
        else:
            exported = export(self.folder, self.out, format)
        what = "run" if format in TRACKERS else "trial"
        print(f"{counted(exported.trials, what)} written to {self.out}")
        for line in exported.damage:
            print(f"lr-batch: {line}", file=sys.stderr)


@dataclasses.dataclass(frozen=True)
class Verify:
    """List what is damaged in a folder, and what would run again. Exit code 1 where anything is."""

    folder: Folder

    def __call__(self) -> None:
        from runs.store import StoreError
        from runs.text import Printer
        from runs.verify import verify

        say, found = Printer(sys.stdout), verify(self.folder)
        for finding in found:
            say(str(finding))
        if found:
            raise StoreError(
                f"{self.folder}: {len(found)} damaged; the command that made it repairs what it can"
            )
        say(f"{self.folder}: everything is whole")


@dataclasses.dataclass(frozen=True)
class Merge:
    """Join stores of one study, from several machines perhaps, into one; every trial is kept once."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The folder of the joined study; it may hold some of it already."""

    def __call__(self) -> None:
        from runs.merge import merge

        if len(self.folders) < 2:
            raise ValueError(f"merge: needs two or more folders, got {len(self.folders)}")
        merged = merge(self.folders, self.out)
        for folder, added, known in zip(self.folders, merged.added, merged.known, strict=True):
            print(f"{folder}: {added} trials taken over, {known} were there")
        for line in merged.damage:
            print(f"lr-batch: {line}", file=sys.stderr)


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Say what this machine offers: devices, versions, SQLite, file system. Exit code 1 where that will not do."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")] = Path("lr-batch-results")
    """Where results are to go; it need not exist."""

    def __call__(self) -> None:
        from runs.doctor import examine
        from runs.store import StoreError
        from runs.text import Printer

        say, found = Printer(sys.stdout), examine(self.folder)
        for line in found:
            say(str(line))
        if bad := [line for line in found if line.bad]:
            raise StoreError(f"doctor: {len(bad)} of these need attention")
