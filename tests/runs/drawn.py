"""What stands in a figure, and studies to draw."""

from __future__ import annotations

from lr_batch import Result
from runs.curve.analysis import analyse


def unfitted(result):
    """What is read off `result` where nothing could be fitted."""
    return without_fits(analyse(result))


def without_fits(analysis):
    return analysis._replace(
        critical=None, law=None, refusals=("no critical batch size: too few batch sizes",)
    )


def changed(result, **columns) -> Result:
    """`result` with other columns; `_replace` fails, since a result is as long as its columns."""
    return Result(**result._asdict() | columns)


def horizontal_texts(figure) -> list:
    """All that is written in a figure from left to right, with the tick labels that are in view."""
    found = list(figure.texts) + [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [*axes.texts, axes.xaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            in_view = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            found += [label for label in in_view if label.get_visible()]
    return [text for text in found if text.get_text().strip() and text.get_rotation() == 0]


def written(figure) -> str:
    labels = [axes.get_ylabel() for axes in figure.axes]
    return "\n".join([*labels, *(text.get_text() for text in horizontal_texts(figure))])


def overlaps(figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes overlap, and texts that leave the figure."""
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in horizontal_texts(figure)]
    pairs = [(a, b) for i, (a, box) in enumerate(boxes) for b, other in boxes[:i] if _intersect(box, other)]
    canvas = figure.bbox.padded(1)
    return pairs + [
        (a, "canvas") for a, box in boxes if not (canvas.contains(*box.min) and canvas.contains(*box.max))
    ]


def _intersect(box, other, slack=1.0) -> bool:
    apart_x = box.x1 - slack <= other.x0 or other.x1 - slack <= box.x0
    return not (apart_x or box.y1 - slack <= other.y0 or other.y1 - slack <= box.y0)
