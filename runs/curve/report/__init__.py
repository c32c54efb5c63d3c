"""One self-contained page for a study: figures to point at, tables, advice."""

from runs.curve.report.page import write_report

__all__ = ["write_report"]
