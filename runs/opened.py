"""A stored study in Python: its trials, what is read off them, and its figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from lr_batch import Result
from runs.curve.analysis import Analysis, analyse
from runs.curve.figures import FIGURES
from runs.curve.run import stored_result
from runs.folder import kind_of
from runs.noise.beside_curve import stored_beside


class Opened(NamedTuple):
    """A study of `lr-batch curve`."""

    result: Result
    analysis: Analysis

    def figure(self, name: str = "steps_to_goal") -> Figure:
        """One of the figures of the report, which shows itself in a notebook.

        Args:
          name: steps_to_goal, learning_rate, heatmap, training_curves or goals.
        """
        if name not in FIGURES:
            raise ValueError(f"figure: must be one of {', '.join(FIGURES)}, got {name!r}")
        return FIGURES[name](self.result, self.analysis)

    def __repr__(self) -> str:
        return f"{self.result!r}\n{self.analysis.advice}"

    def _repr_html_(self) -> str:
        return self.result._repr_html_()


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
    return Opened(result, analyse(result, stored_beside(Path(folder))))
