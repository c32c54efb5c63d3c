"""Test configuration: types and shapes are checked, and XLA's flags are set before JAX is imported."""

import inspect
import tempfile

import jaxtyping
import pytest
from jaxtyping import install_import_hook

# Every call of every function is checked against its annotations, so that they stay true; an int passes as a float
# (PEP 484). A hook, as the option `--jaxtyping-packages` of jaxtyping 0.3 cuts several packages with a `conf` wrongly.
install_import_hook(
    ["lr_batch", "optim", "reg", "hparam"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

from runs.xla_flags import set_xla_flags

set_xla_flags()

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
# Many tests compile the same small programs; each is compiled once in a session.
_cache = tempfile.TemporaryDirectory(prefix="lr-batch-tests-")
jax.config.update("jax_compilation_cache_dir", _cache.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(autouse=True)
def _types_are_checked(request):
    """But not in a test of a refusal: it hands over what annotations forbid, as a user might, and reads our own error."""
    refusal = "pytest.raises(" in inspect.getsource(request.function)
    jaxtyping.config.update(
        "jaxtyping_disable", refusal or bool(request.node.get_closest_marker("wrong_types"))
    )
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
