"""A stored study in Python: its trials, what is read off them, and its figures."""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from lr_batch import Result, Study
from runs.curve.analysis import Analysis, analyse
from runs.curve.figures import draw_into, figures_of
from runs.curve.outcome import write_outcome
from runs.curve.run import run_in_folder, stored_result
from runs.folder import kind_of
from runs.noise.beside_curve import stored_beside


class Opened(NamedTuple):
    """A study of `lr-batch curve`: its trials, what is read off them, and the folder of its store and report."""

    result: Result
    analysis: Analysis
    folder: Path | None = None

    def figure(self, name: str = "steps_to_goal") -> Figure:
        """One of the figures of the report, which shows itself in a notebook.

        Args:
          name: steps_to_goal, learning_rate, heatmap, training_curves or goals; of a search also protocols or ranges; of
            a population lineages in the place of all of a rate.
        """
        return self._figures(name)[name](self.result, self.analysis)

    def draw(self, name: str, axes: Any) -> Any:
        """Draws one of the figures into axes of your own; `legend()` of the first of them names what is drawn.

        Args:
          name: as in `figure`.
          axes: of matplotlib; two for training_curves and protocols, one for each range for ranges and lineages.

        Returns:
          `axes`, with the study for the title of the first.

        Raises:
          ValueError: `name` is none of these, or the figure has another number of panels.
        """
        self._figures(name)
        draw_into(axes, name, self.result, self.analysis)
        return axes

    def _figures(self, name: str) -> dict[str, Callable[..., Figure]]:
        known = figures_of(self.result)
        if name not in known:
            raise ValueError(f"figure: must be one of {', '.join(known)}, got {name!r}")
        return known

    def __repr__(self) -> str:
        return f"{self.result!r}\n{self.analysis.advice}"

    def _repr_html_(self) -> str:
        return f"{self.result._repr_html_()}<p>{html.escape(self.analysis.advice)}</p>"


def open_folder(folder: str | os.PathLike[str]) -> Opened:
    """The study in a folder of `lr-batch curve`; nothing is trained, and a run that writes there is not disturbed.

    Args:
      folder: of results.

    Raises:
      ValueError: the folder is of another command.
      runs.store.StoreError: there is nothing to read.
    """
    known = kind_of(Path(folder))
    if known.kind != "curve":
        inside = ", ".join(str(Path(folder) / path) for path in known.study.get("folders", {}).values())
        raise ValueError(
            f"open: {os.fspath(folder)} holds results of lr-batch {known.kind}"
            + (f"; its studies are {inside}" if inside else "; only those of lr-batch curve can be opened")
        )
    result = stored_result(Path(folder))
    return Opened(result, analyse(result, stored_beside(Path(folder))), Path(folder))


def run_study(
    study: Study, folder: str | os.PathLike[str] | None = None, *, time_limit: float | None = None
) -> Opened:
    """What `lr-batch curve` does, for a study in Python: progress on stderr, a store that resumes, figures and report.

    Args:
      study: what to measure.
      folder: where it is kept, and goes on where it was; the command's own where None.
      time_limit: in seconds, see `lr_batch.run`.

    Raises:
      ValueError: the study cannot be trained.
      runs.store.StoreError: the folder cannot be used or holds another study.
    """
    kept, result = run_in_folder(study, None if folder is None else Path(folder), time_limit=time_limit)
    return Opened(result, write_outcome(result, kept), kept)
