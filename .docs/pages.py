"""Puts the README files of the repository into the site, so that each page is written once.

A link to another page of the site stays a link; one to a source file, which the site does not have, becomes its name.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("lr_batch", "lr_batch/workloads", "optim", "reg", "hparam", "runs/workers")
PAGES = {"README.md": "index.md", ".github/CONTRIBUTING.md": "contributing.md"} | {
    f"{folder}/README.md": f"{folder}/README.md" for folder in FOLDERS
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:]+)\)")


def on_files(files, config):
    for source, place in PAGES.items():
        pictures: set[str] = set()
        text = LINK.sub(lambda link: rewritten(link, source, place, pictures), (ROOT / source).read_text())
        files.append(File.generated(config, place, content=text))
        for picture in sorted(pictures):
            files.append(File.generated(config, picture, abs_src_path=str(ROOT / picture)))
    return files


def rewritten(link: re.Match, source: str, place: str, pictures: set[str]) -> str:
    """A link of page `source` as it has to be at `place`; pictures are noted."""
    image, text, target = link.groups()
    there = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if image:
        pictures.add(there)
    elif there not in PAGES:
        return text
    goal = there if image else PAGES[there]
    return f"{image}[{text}]({posixpath.relpath(goal, posixpath.dirname(place) or '.')})"
