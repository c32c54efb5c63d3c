"""Test configuration: types and shapes are checked, and XLA's flags are set before JAX is imported."""

import functools
import gc
import inspect
import os
import platform
import tempfile

import checked_calls
import pytest

checked_calls.install(["lr_batch", "optim", "reg", "hparam"])

from runs.xla_flags import set_xla_flags

# Most of the time of the tests went into compiling: here programs are not optimized, which takes a third of that. Before
# AVX2 no processor has fused multiply-adds; without them a result does not depend on which operations are in one kernel,
# so that what is equal bit for bit under the product's own flags is so here. `XLA_FLAGS= pytest` runs with those alone.
QUICKLY_COMPILED = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
    "--xla_cpu_max_isa=AVX",
)
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("XLA_FLAGS", " ".join(QUICKLY_COMPILED))
set_xla_flags()
# Programs that are traced are many objects that live; looking for garbage among them took a tenth of the time.
gc.set_threshold(50_000, 20, 50)
# Many tests compile the same small programs; each is compiled once in a session, whose workers and commands inherit
# the folder.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _programs = tempfile.TemporaryDirectory(prefix="lr-batch-tests-", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _programs.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Neighbours stay on one worker, where their fixtures and programs are, until the other has nothing left to do."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture
def own_compiler(monkeypatch):
    """The engine compiles as the product does, for tests of what the compiler makes of its programs."""
    from lr_batch.engine.programs import Engine

    own = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True, "xla_cpu_max_isa": ""}
    options = Engine._compiler_options
    monkeypatch.setattr(Engine, "_compiler_options", lambda *args: own | options(*args))


@pytest.fixture
def long_training(monkeypatch):
    """The engine optimizes its programs a little, for tests in which they run for longer than compiling takes."""
    from lr_batch.engine.programs import Engine

    options = Engine._compiler_options
    little = {"xla_backend_optimization_level": 1}
    monkeypatch.setattr(Engine, "_compiler_options", lambda *args: little | options(*args))


@pytest.fixture(autouse=True)
def _types_are_checked(request):
    """But not in a test of a refusal: it hands over what annotations forbid, as a user might, and reads our own error."""
    wrong = _refuses(request.function) or bool(request.node.get_closest_marker("wrong_types"))
    checked_calls.check_types(not wrong)
    yield
    checked_calls.check_types(True)


@functools.cache
def _refuses(test) -> bool:
    return "pytest.raises(" in inspect.getsource(test)
