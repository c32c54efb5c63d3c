"""What is wrong with a command, said at a terminal: one line, no boxes, no escapes."""

import re
import subprocess
import sys

import pytest
from terminal import on_terminal

from lr_batch import __version__

LONG = "/a/folder/with-a-long-name-that-no-terminal-of-eighty-columns-shows-in-one-line/and-a-file-in-it.txt"
WRONG = {
    "curve --xyzzy": r"curve has no option --xyzzy; lr-batch curve --help lists those it has",
    "curve --widths 64,128": "curve has no option --widths; it is one of transfer",
    "curve --seeds x": "--seeds: must be a whole number, got 'x'",
    "list foo": r"invalid choice 'foo' for argument 'kind'\. Expected one of .*",
    "compare --by money": "invalid choice 'money' for argument '--by'. "
    "Expected one of 'examples', 'memory', 'seconds', 'steps'.",
    f"curve digits_mlp {LONG}": f"Unrecognized options: {LONG}",
}
WIDE = """
import jax.numpy as jnp, numpy as np, optax
import lr_batch

x, y = np.ones((80, 64), np.float32), np.zeros(80, np.int32)
sizes = [(64, 4096), (4096, 4096), (4096, 3)]
model = (lambda key: [jnp.zeros(size) for size in sizes], lambda params, x: x @ params[0] @ params[1] @ params[2])
workload = lr_batch.from_arrays(
    model, train=(x, y), held_out=(x, y), name="wide", loss=optax.softmax_cross_entropy_with_integer_labels,
    goal=lr_batch.Goal("loss", 0.5),
)
"""


@pytest.mark.parametrize("words", WRONG)
def test_wrong_command_is_one_clean_line_at_a_terminal(words):
    code, shown = on_terminal(*words.split())
    assert code == 2
    assert re.fullmatch(f"lr-batch: {WRONG[words]}\n", shown), shown


@pytest.mark.parametrize("words", [("--help",), ("curve", "--help")])
def test_help_obeys_no_color(words):
    code, shown = on_terminal(*words, NO_COLOR="1")
    assert code == 0 and "--help" in shown
    assert "\x1b" not in shown


def test_nothing_typed_says_what_to_type_first(capsys):
    code, shown = on_terminal()
    assert code == 0 and "\x1b" not in shown
    assert all(f"lr-batch {first}" in shown for first in ("curve", "check", "list", "--help"))
    assert len(shown.splitlines()) < 12


def test_version(capsys):
    assert on_terminal("--version") == (0, f"lr-batch {__version__}\n")


@pytest.mark.parametrize("platform", ["cuda", "no_such_platform"])
def test_platform_that_is_not_here_is_said_with_the_way_out(platform):
    code, shown = on_terminal("check", "digits_mlp", JAX_PLATFORMS=platform)
    line = shown.strip().splitlines()[-1]
    assert code == 2, shown
    assert line.startswith(f"lr-batch: JAX_PLATFORMS={platform}: JAX cannot start it: ")
    assert line.endswith("take JAX_PLATFORMS=cpu, or unset it for what there is")
    assert "Traceback" not in shown


@pytest.mark.slow
def test_address_space_that_one_trial_does_not_fit_into_ends_with_a_line(tmp_path):
    """It once hung for ever: XLA's threads waited for memory that no one would give."""
    (tmp_path / "wide.py").write_text(WIDE)
    call = f"ulimit -v 2000000; exec {sys.executable} -m runs curve {tmp_path}/wide.py:workload --out {tmp_path}/out"
    ran = subprocess.run(["bash", "-c", call], capture_output=True, text=True, timeout=200)
    assert ran.returncode == 2, ran.stderr
    assert re.fullmatch(r"lr-batch: wide.*(memory|MB).*\n", ran.stderr), ran.stderr
