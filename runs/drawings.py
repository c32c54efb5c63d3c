"""Drawings in SVG as pixels, and the labels that they carry."""

from __future__ import annotations

import html
import importlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from runs.pictures import resized

SUFFIX = ".svg"
TAGS = re.compile(r"<dc:subject>.*?</dc:subject>", re.DOTALL)  # of RDF, as Open Clip Art has them
TAG = re.compile(r"<rdf:li>\s*([^<]*?)\s*</rdf:li>")


def pixels(path: Path, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """A picture of any kind as a square, drawings on a white ground.

    Raises:
      ValueError: in one line, where it cannot be drawn.
    """
    if path.suffix.lower() != SUFFIX:
        return resized(path, size)
    drawer = _drawer()
    try:
        drawn = drawer.svg2png(
            bytestring=path.read_bytes(), output_width=size, output_height=size, background_color="white"
        )
        return resized(io.BytesIO(drawn), size)
    except Exception as error:  # of the package, whatever a drawing does to it
        raise ValueError(f"{path} cannot be drawn: {type(error).__name__}") from error


def _drawer() -> Any:
    try:
        return importlib.import_module("cairosvg")
    except (ImportError, OSError) as error:  # or the library below it
        raise Missing(
            f"data prepare: drawings in SVG need CairoSVG, which cannot be imported ({error}); run: pip install cairosvg"
        ) from error


class Missing(Exception):
    """What draws is not installed."""


def tags(path: Path) -> frozenset[str]:
    """The labels of a drawing, in small letters."""
    found = TAGS.search(path.read_text(errors="replace"))
    return (
        frozenset(html.unescape(tag).lower() for tag in TAG.findall(found[0]) if tag)
        if found
        else frozenset()
    )
