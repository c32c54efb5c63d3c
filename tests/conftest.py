"""Test configuration: JAX's flags have to be set before it is imported."""

from runs.xla_flags import set_xla_flags

set_xla_flags()

import jax  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
