"""Fixtures of tests that type commands, and of those whose chunks workers train."""

from contextlib import closing

import pytest
from command_line import MODEL
from store_writers import Writers

from runs import load

run_file, models = load._run, {}


@pytest.fixture(scope="session", autouse=True)
def _model_is_run_once():
    """Files with one text that holds `MODEL` are one module in all tests: what was found by tracing it is remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "_run", run_once)
        yield


def run_once(path, name):
    text = path.read_text()
    if MODEL not in text:
        return run_file(path, name)
    if text not in models:
        models[text] = run_file(path, name)
    return models[text]


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """Nothing is read from or left in the home of who runs the tests; `conftest` has set JAX's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("programs")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


@pytest.fixture(scope="session")
def writers():
    with closing(Writers()) as started:
        yield started


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(MODEL)
    return tmp_path


@pytest.fixture
def model(tmp_path):
    """The file of `MODEL`."""
    (tmp_path / "my.py").write_text(MODEL)
    return f"{tmp_path}/my.py"


@pytest.fixture
def unrendered(monkeypatch):
    """Figures are made, with all that stands in them, and written empty: pixels take longer than the training."""
    monkeypatch.setattr("runs.plots.style._drawn", lambda figure, kind: b"")


@pytest.fixture
def quick(monkeypatch):
    """Workers and who hands out to them do not wait between looks."""
    monkeypatch.setattr("runs.workers.hand_out.WATCH_SECONDS", 0.0)
    monkeypatch.setattr("runs.workers.hand_out.LOOK_SECONDS", (0.001, 0.01))
    monkeypatch.setattr("runs.workers.worker.LOOK_SECONDS", 0.01)
