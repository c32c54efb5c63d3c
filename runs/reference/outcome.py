"""`lr-batch report DIR --reference NAME`: the figure, the numbers, and what is said of them."""

from __future__ import annotations

from pathlib import Path

from lr_batch import Result
from runs.curve.analysis import Analysis
from runs.reference.distance import Distance, distance
from runs.reference.published import Published, is_the_panel, published
from runs.write import plain, write_json


def write_reference(result: Result, outcome: Analysis, name: str, folder: Path) -> str:
    """Writes `reference.png`, `.svg` and `.json` into `folder`.

    Returns:
      What was found, in words.

    Raises:
      ValueError: where there is no published curve of this study, or too few of its batch sizes were measured.
    """
    from runs.reference.figure import reference

    known = published(name, result)
    apart = distance(known, outcome.optima, shape_only=not is_the_panel(result.workload))
    reference(result, outcome, known, apart, folder / "reference.png")
    write_json(folder / "reference.json", plain({"source": known.source, **apart._asdict()}))
    return said(result, known, apart)


def said(result: Result, known: Published, apart: Distance) -> str:
    """The distance in one or two sentences."""
    where = (
        f"at {len(apart.octaves)} published batch sizes: median distance {apart.median:.1f} octaves "
        f"({apart.octaves.min():+.1f} to {apart.octaves.max():+.1f}); published points are read off a figure, "
        "to about 0.1 octaves, and two searches of 100 trials differ by up to 0.4"
    )
    if is_the_panel(result.workload):
        return f"Measured steps over those of {known.source} {where}."
    return (
        f"{result.workload} is not the published problem: only the shape is compared with {known.source}, whose batch "
        f"sizes were moved by {apart.batch_octaves:+.2f} octaves and steps by {apart.steps_octaves:+.1f}. Measured over "
        f"published steps {where}."
    )
