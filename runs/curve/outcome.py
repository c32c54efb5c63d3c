"""What a study leaves behind beside its store: summary, figures, report."""

from __future__ import annotations

from pathlib import Path

from lr_batch import Result
from runs.curve.analysis import Analysis, analyse
from runs.kept_json import write_kept
from runs.noise.beside_curve import stored_beside


def write_outcome(result: Result, folder: Path) -> Analysis:
    """Analyses `result` and writes summary, figures and report into `folder`."""
    from runs.curve.figures import figures_of
    from runs.curve.report import write_report

    outcome = analyse(result, stored_beside(folder))
    write_kept(folder / "summary.json", outcome.summary)
    for name, draw in figures_of(result).items():
        draw(result, outcome, folder / f"{name}.png")
    write_report(result, outcome, folder / "report.html")
    return outcome
