"""Code blocks of the pages run as they stand there, links lead somewhere, and the picture is that of the source."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    ".github/CONTRIBUTING.md",
    "hparam/README.md",
    "lr_batch/README.md",
    "lr_batch/workloads/README.md",
    "optim/README.md",
    "reg/README.md",
    "runs/bench/README.md",
    "runs/results/README.md",
    "runs/results/speed/README.md",
    "runs/workers/README.md",
]


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])  # that has test_readme.py
def test_code_runs(page):
    names: dict = {"__name__": page}
    for block in re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_the_picture_is_that_of_the_source(tmp_path):
    subprocess.run([sys.executable, ROOT / ".docs/architecture.py", tmp_path / "drawn.svg"], check=True)
    drawn, kept = tmp_path / "drawn.svg", ROOT / "lr_batch" / "architecture.svg"
    assert drawn.read_text() == kept.read_text(), "run: python .docs/architecture.py"


def test_boxes_that_import_each_other_are_named():
    rows = runpy.run_path(str(ROOT / ".docs/architecture.py"))["rows"]
    assert rows({"runs": {"reg", "optim"}, "reg": {"optim"}, "optim": set()}) == {
        "optim": 0,
        "reg": 1,
        "runs": 2,
    }
    with pytest.raises(SystemExit, match="runs imports reg imports optim imports runs;"):
        rows({"runs": {"reg"}, "optim": {"runs"}, "reg": {"optim"}})
