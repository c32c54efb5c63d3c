"""Texts in files: plain, compressed, or as web pages; in UTF-8, or refused."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Any

PLAIN, PAGES = {"", ".txt", ".text", ".md", ".rst"}, {".html", ".htm"}
COMPRESSED = ".gz"
UNSEEN = {"script", "style", "head", "title", "nav"}  # parts of a page that are no text
BYTE_ORDERS = {b"\xff\xfe", b"\xfe\xff"}  # that UTF-16 begins with
BREAKS = {"p", "div", "br", "li", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "pre", "blockquote", "table"}


def kind_of(path: Path) -> str:
    """The ending of its name, but for that of compression."""
    return Path(path.name.removesuffix(COMPRESSED)).suffix.lower()


def name_of(path: Path) -> str:
    """Without its endings."""
    return Path(path.name.removesuffix(COMPRESSED)).stem


def text_files(folder: Path) -> list[Path]:
    """Files below a folder that hold text, by name."""
    kinds = (PLAIN | PAGES) - {""}
    shown = (path for path in folder.rglob("*") if not path.name.startswith("."))
    return sorted(path for path in shown if path.is_file() and kind_of(path) in kinds)


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a file, one at a time.

    Raises:
      ValueError: in one line, if it is not UTF-8, or damaged.
    """
    number = 0
    try:
        with _opened(path) as file:
            for line in file:
                number += 1
                yield line.decode()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        encoding = "UTF-16" if number == 1 and error.object[:2] in BYTE_ORDERS else "LATIN1"
        raise ValueError(
            f"data prepare: {path} line {number} is not in UTF-8 (byte 0x{byte:02x}): write it in UTF-8 first, "
            f"such as by iconv -f {encoding} -t UTF-8, or leave the file out"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"data prepare: {path} cannot be read behind line {number}: {error}") from error


def text_of(path: Path) -> str:
    """The text of a file; of a web page what a reader sees of it, its parts separated by empty lines."""
    text = "".join(lines_of(path))
    return seen_text(text) if kind_of(path) in PAGES else text.removeprefix("\ufeff")


def _opened(path: Path) -> IO[bytes] | Any:
    return gzip.open(path) if path.suffix == COMPRESSED else path.open("rb")


def seen_text(page: str) -> str:
    """What a reader of a web page sees.

    >>> seen_text("<head><title>T</title></head><p>One &amp; <b>two</b></p><p>three</p>")
    'One & two\\n\\nthree'
    """
    parser = _Seen()
    parser.feed(page)
    parser.close()
    return re.sub(r"\n\s*\n", "\n\n", "".join(parser.parts)).strip()


class _Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.parts: list[str] = []
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in UNSEEN:
            self._unseen.append(tag)
        if tag in BREAKS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        if tag in BREAKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)
