"""Test configuration: XLA's flags have to be set before JAX is imported."""

import tempfile

from runs.xla_flags import set_xla_flags

set_xla_flags()

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
# Many tests compile the same small programs; each is compiled once in a session.
_cache = tempfile.TemporaryDirectory(prefix="lr-batch-tests-")
jax.config.update("jax_compilation_cache_dir", _cache.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
