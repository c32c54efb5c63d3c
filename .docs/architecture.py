"""Draws which part of the code imports which, read off the source: `python .docs/architecture.py`.

Boxes are the five packages, `lr_batch` by its rooms; each stands above everything that it imports. Of the arrows those
are drawn that follow from no others. The picture is kept as lr_batch/architecture.svg, and a test compares them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("optim", "reg", "lr_batch", "hparam", "runs")
WIDTH, HEIGHT, GAP, RISE, LEFT = 166, 40, 16, 84, 20  # of a box, between boxes, between rows; in pixels


def part(name: str) -> str | None:
    """The box of a module: a package, or a room of `lr_batch`; None for what is not ours."""
    top, _, rest = name.partition(".")
    if top not in PACKAGES:
        return None
    room = rest.partition(".")[0]
    is_room = top == "lr_batch" and ((ROOT / top / room).is_dir() or (ROOT / top / f"{room}.py").is_file())
    return f"lr_batch.{room}" if room and is_room else top


def imported(path: Path) -> Iterable[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows() -> dict[str, set[str]]:
    """Box -> the boxes that it imports from."""
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            box = part(module) or package
            targets = {target for name in imported(path) if (target := part(name))}
            found.setdefault(box, set()).update(targets - {box})
    return found


def below(box: str, found: dict[str, set[str]]) -> set[str]:
    """Everything that is imported by `box`, at once or by what it imports."""
    return set().union(*({target} | below(target, found) for target in found[box]))


def rows(found: dict[str, set[str]]) -> dict[str, int]:
    """Row of each box, 0 at the bottom: one above the highest that it imports.

    Where boxes import each other in a circle there are no rows: the command ends with one line that names the circle.
    """
    try:
        upwards = [*TopologicalSorter(found).static_order()]
    except CycleError as error:
        circle = " imports ".join(reversed(error.args[1]))
        raise SystemExit(f"no picture: {circle}; tests/test_imports.py says in which lines") from None
    row: dict[str, int] = {}
    for box in upwards:
        row[box] = 1 + max((row[target] for target in found[box]), default=-1)
    return row


def picture() -> str:
    """The drawing as SVG."""
    found = arrows()
    row = rows(found)
    lines = [sorted(box for box in row if row[box] == number) for number in range(max(row.values()), -1, -1)]
    across = max(map(len, lines)) * (WIDTH + GAP) + 2 * LEFT
    place = {
        box: (across / 2 + (i - (len(line) - 1) / 2) * (WIDTH + GAP), LEFT + HEIGHT / 2 + number * RISE)
        for number, line in enumerate(lines)
        for i, box in enumerate(line)
    }
    drawn = [
        (box, target)
        for box in sorted(found)
        for target in sorted(found[box])
        if not any(target in below(other, found) for other in found[box] - {target})
    ]
    shapes = [arrow(*place[box], *place[target]) for box, target in drawn]
    shapes += [box_at(name, x, y) for name, (x, y) in place.items()]
    tall = len(lines) * RISE + LEFT
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across:.0f} {tall}" font-family="sans-serif">'
    )
    point = '<path d="M0,0 L8,4 L0,8 z" fill="#789"/>'
    marker = (
        f'<marker id="head" markerWidth="8" markerHeight="8" refX="8" refY="4" orient="auto">{point}</marker>'
    )
    return "\n".join([head, f"<defs>{marker}</defs>", *shapes, "</svg>", ""])


def arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """From the lower edge of one box to the upper edge of another."""
    start, end = y + HEIGHT / 2, to_y - HEIGHT / 2
    bend = (end - start) / 2
    curve = (
        f"M{x:.0f},{start:.0f} C{x:.0f},{start + bend:.0f} {to_x:.0f},{end - bend:.0f} {to_x:.0f},{end:.0f}"
    )
    return f'<path d="{curve}" fill="none" stroke="#789" marker-end="url(#head)"/>'


def box_at(name: str, x: float, y: float) -> str:
    color = "#dceefb" if name.startswith("lr_batch") else "#fdf0d5"
    corner = f'x="{x - WIDTH / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="6"'
    text = f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle" font-size="14">{escape(name)}</text>'
    return f'<rect {corner} fill="{color}" stroke="#456"/>{text}'


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "lr_batch" / "architecture.svg"
    target.write_text(picture())
