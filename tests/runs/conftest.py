"""Fixtures of tests that type commands."""

import pytest
from command_line import MODEL


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """Nothing is read from or left in the home of who runs the tests; `conftest` has set JAX's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("programs")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(MODEL)
    return tmp_path
