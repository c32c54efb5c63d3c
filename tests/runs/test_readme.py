"""Every code block of the README works as it stands there."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runs.__main__ import main

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
# A line that ends in a backslash goes on in the next one.
CONSOLE = [
    re.sub(r"\\\n\s*", "", line)
    for language, text in BLOCKS
    if language == "console"
    for line in re.split(r"(?<!\\)\n", text.strip())
]


def test_there_are_two_commands_that_set_themselves_up():
    assert sum(line.startswith("python3 -m venv .venv && ") for line in CONSOLE) == 2


def test_ci_runs_the_test_command():
    """The script takes the command from the README; what it takes is what stands there."""
    pattern = re.findall(r"sed -n '(s/.*?/p)'", (ROOT / ".ci/run").read_text())[0]
    found = subprocess.run(
        ["sed", "-n", pattern, ROOT / "README.md"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() in CONSOLE and "pytest" in found.stdout


@pytest.mark.parametrize("line", [line for line in CONSOLE if "lr-batch" in line])
def test_commands_parse(line):
    from runs.arguments import parsed

    parsed(shlex.split(line[line.index("lr-batch") :])[1:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files that the README shows, under the names that it gives them."""
    folder = tmp_path_factory.mktemp("readme")
    for text in PYTHON:
        name = re.match(r"# (\w+\.py)", text)
        if name:
            (folder / name[1]).write_text(text)
    return folder


WORKLOADS = [re.findall(r"^# (\w+)\.py", text)[0] for text in PYTHON if "\nworkload = " in text]


@pytest.mark.parametrize("name", WORKLOADS)
def test_own_workloads_are_short_and_in_order(folder, monkeypatch, name):
    import lr_batch

    monkeypatch.syspath_prepend(folder)
    assert len((folder / f"{name}.py").read_text().splitlines()) <= 26  # its name and 25 lines
    workload = importlib.import_module(name).workload
    assert lr_batch.check(lr_batch.Study(workload, seeds=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_own_workloads_reach_their_goals(folder, name):
    small = [
        "--batch-sizes",
        "64",
        "--learning-rates",
        "0.03:3:3",
        "--seeds",
        "1",
        "--no-extend",
        "--budget",
        "2000",
    ]
    command = [
        sys.executable,
        "-m",
        "runs",
        "curve",
        f"{name}.py:workload",
        *small,
        "--out",
        str(folder / name),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(), timeout=280)
    assert done.returncode == 0, done.stderr
    assert "1/1" in done.stdout


def block(words):
    """The one block of Python in which these words stand."""
    (found,) = [text for text in PYTHON if words in text]
    return found


def model_of(classes):
    """What the README leaves to the reader: a model of flat inputs, or of tokens."""
    import flax.linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            if x.ndim > 2:
                return nn.Dense(classes)(x.reshape(len(x), -1).astype("float32"))
            return nn.Dense(classes)(nn.Embed(classes, 2)(x))

    return Net()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty one: data sets of TFDS lie below it."""
    for name in ("grain", "array_record"):
        pytest.importorskip(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    return tmp_path


def test_block_of_streamed_pictures(home):
    import numpy as np
    from PIL import Image

    import lr_batch

    rng = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (home / "my_pictures" / label).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (8, 8, 3)).astype("uint8")
            Image.fromarray(pixels).save(home / "my_pictures" / label / f"{number}.png")
    assert main(["data", "prepare", "my_pictures", "--from", str(home / "my_pictures"), "--size", "8"]) == 0
    names = {"my_model": model_of(2)}
    exec(block("lr_batch.records("), names)
    assert lr_batch.check(lr_batch.Study(names["workload"](), seeds=1, batch_sizes=(2, 4)))


def test_block_of_texts(home):
    import lr_batch

    pytest.importorskip("sentencepiece")
    (home / "my_texts").mkdir()
    for path in ROOT.glob("*/README.md"):
        (home / "my_texts" / f"{path.parent.name}.md").write_bytes(path.read_text().encode("ascii", "ignore"))
    texts = ["data", "prepare", "my_texts", "--from", str(home / "my_texts"), "--vocabulary", "512"]
    assert main(texts) == 0
    names = {"my_model": model_of(512)}
    exec(block("lr_batch.texts("), names)
    assert lr_batch.check(lr_batch.Study(names["language_model"](), seeds=1, batch_sizes=(2, 4)))


def test_block_of_stored_studies_in_axes_of_ones_own(tmp_path, monkeypatch):
    kept = ROOT / "tests" / "runs" / "kept_study" / "store.sqlite"
    for name in ("DIR", "DIR-2"):
        (tmp_path / "lr-batch-results" / name).mkdir(parents=True)
        shutil.copy(kept, tmp_path / "lr-batch-results" / name)
    monkeypatch.chdir(tmp_path)
    exec(block("runs.open(folder).draw("), {})
    assert (tmp_path / "both.pdf").read_bytes().startswith(b"%PDF")


def test_no_block_of_python_is_left_untested():
    """A new one needs a test of its own, or a file name in its first line with a workload in it."""
    named = [text for text in PYTHON if "\nworkload = " in text]
    tested = [*named, *map(block, ("def make(hparams)", "lr_batch.records(", "lr_batch.texts("))]
    tested += map(block, ("critical_batch_size(result)", "runs.open(folder).draw("))
    assert sorted(tested) == sorted(PYTHON)


@pytest.mark.slow
def test_own_model_and_own_optimizer(folder):
    """The README's command, on a quarter of its batch sizes and rates."""
    line = next(line for line in CONSOLE if "my_model.py" in line)
    arguments = shlex.split(line)[1:]
    small = {"8:512:x2": "16:256:x4", "0.01:10:12": "0.1:3:4"}
    arguments = [small.get(argument, argument) for argument in arguments]
    command = [
        sys.executable,
        "-m",
        "runs",
        *arguments,
        "--seeds",
        "2",
        "--no-extend",
        "--out",
        str(folder / "out"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(), timeout=280)
    assert done.returncode == 0, done.stderr
    assert "my_digits with make" in done.stdout and (folder / "out" / "steps_to_goal.png").exists()


@pytest.mark.slow
def test_python_block(folder):
    text = next(text for text in PYTHON if not text.startswith("# "))
    (folder / "study.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "study.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+ \(\d+ to \d+\)\n", done.stdout)


def environment():
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
