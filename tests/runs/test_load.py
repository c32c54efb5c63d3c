"""Files and modules of a user: whatever runs as `python FILE.py` loads, and errors say where they arose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hparam  # noqa: F401  stays, as modules that the tests import are forgotten after each
from runs.load import named_or_loaded
from runs.parse import UsageError

NETS = {
    "__init__.py": "",
    "sizes.py": "OUTPUTS = 3\n",
    "relative.py": "from .sizes import OUTPUTS\nfrom ..shared import NAME\n",
    "absolute.py": "from project.nets.sizes import OUTPUTS\nfrom project.shared import NAME\n",
    "script.py": "from sizes import OUTPUTS\nNAME = 'script'\n",
    "later.py": "NAME = 'later'\nOUTPUTS = 3\ndef make():\n    import lazy\n    return lazy.VALUE\n",
    "lazy.py": "VALUE = 7\n",
    "kept.py": (
        "from __future__ import annotations\nimport dataclasses, pickle\n"
        "@dataclasses.dataclass\nclass Size:\n    n: int = 3\n"
        "pickle.loads(pickle.dumps(Size()))\nOUTPUTS, NAME = Size().n, 'kept'\n"
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    nets = tmp_path / "project" / "nets"
    nets.mkdir(parents=True)
    (nets.parent / "__init__.py").touch()
    (nets.parent / "shared.py").write_text("NAME = 'shared'\n")
    for name, text in NETS.items():
        (nets / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


@pytest.mark.parametrize(
    "place",
    [
        *(f"project/nets/{name}.py" for name in ("relative", "absolute", "script", "later", "kept")),
        "project.nets.relative",
        "project.nets.absolute",
    ],
)
def test_files_and_modules_of_a_package_load(place, here):
    assert named_or_loaded("workload", f"{place}:OUTPUTS") == 3
    assert named_or_loaded("workload", f"{here / place if place.endswith('.py') else place}:NAME")


def test_relative_imports_need_no_init_files(here):
    for init in here.rglob("__init__.py"):
        init.unlink()
    assert named_or_loaded("workload", "project/nets/relative.py:NAME") == "shared"
    assert named_or_loaded("workload", "project.nets.absolute:NAME") == "shared"


def test_imports_within_functions_work_when_these_are_called(here):
    assert named_or_loaded("workload", "project/nets/later.py:make")() == 7


def test_one_file_is_run_once_until_it_changes(here):
    file = here / "own.py"
    file.write_text("thing = object()\n")
    assert named_or_loaded("a", "own.py:thing") is named_or_loaded("b", "own.py:thing")
    file.write_text("thing = 'another'\n")
    assert named_or_loaded("a", "own.py:thing") == "another"


def test_a_file_that_goes_to_another_folder_leaves_the_command_where_it_was(here, tmp_path):
    (here / "away.py").write_text("import os\nos.chdir('/')\nthing = os.getcwd()\n")
    for text in ("away.py:thing", "away:thing"):
        assert named_or_loaded("workload", text) == "/" and Path.cwd() == here.resolve()


WRONG = {
    "raises.py:a": (
        "import os\n\n1 / 0\n",
        r"running 'raises.py' failed: ZeroDivisionError: .* \(raises.py, line 3\)",
    ),
    "syntax.py:a": ("a = (\n", r"running 'syntax.py' failed: SyntaxError: .* \(syntax.py, line 1\)"),
    "leaves.py:a": ("raise SystemExit(3)\n", r"running 'leaves.py' failed: SystemExit: 3"),
    "own.py:a": (
        "class E(BaseException): pass\nraise E('x')\n",
        r"running 'own.py' failed: E: x \(own.py, line 2\)",
    ),
    "missing.py:a": ("import not_there_at_all\n", "ModuleNotFoundError: .*not_there_at_all.* line 1"),
    "typo.py:modle": ("model = 1\n", "'typo.py' has no 'modle'; did you mean 'model'"),
    "not_a_module:a": ("", "importing not_a_module failed: ModuleNotFoundError"),
    "x.py": ("", "must be a registered name or look like FILE.py:NAME or PACKAGE.MODULE:NAME"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_loaded_is_one_line_that_says_where(text, here):
    source, said = WRONG[text]
    (here / text.partition(":")[0]).write_text(source)
    with pytest.raises(UsageError, match=said) as error:
        named_or_loaded("workload", text)
    assert "\n" not in str(error.value)


def test_the_command_line_takes_a_module_of_the_working_directory(here):
    (here / "project" / "nets" / "model.py").write_text(
        "from .sizes import OUTPUTS\nimport jax.numpy as jnp\nimport lr_batch, numpy as np, optax\n"
        "x = np.random.default_rng(0).normal(size=(96, 5))\ny = np.argmax(x[:, :3], 1).astype('int32')\n"
        "model = (lambda key: jnp.zeros((5, OUTPUTS)), lambda params, x: x @ params)\n"
        "workload = lr_batch.from_arrays(model, train=(x, y), held_out=(x, y), goal='loss<0.8',\n"
        "    loss=optax.softmax_cross_entropy_with_integer_labels, name='in_package')\n"
    )
    for place in ("project/nets/model.py", "project.nets.model"):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "runs",
                "check",
                f"{place}:workload",
                "--batch-sizes",
                "4",
                "--seeds",
                "1",
            ],
            cwd=here,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0].startswith("optimizer: sgd reads learning_rate")
        assert lines[-1] == "in_package is in order: 16 trials can be trained"


def test_own_hparam_in_the_folder_does_not_replace_ours(tmp_path):
    """The command line finds ours although the folder of the file comes first on the path."""
    (tmp_path / "hparam.py").write_text("raise RuntimeError('not this one')\n")
    (tmp_path / "my_model.py").write_text("seven = 7\n")
    script = (
        "import sys; sys.path = [p for p in sys.path if p]; from runs.__main__ import main; sys.exit(main())"
    )
    call = [sys.executable, "-c", script, "tune", "my_model.py:seven"]
    ran = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 2, ran.stderr
    assert "not this one" not in ran.stderr and "got int" in ran.stderr
