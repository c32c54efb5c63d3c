"""XLA's flags for sweeps, and threads of LAPACK, set by every entry point before JAX is imported."""

from __future__ import annotations

import os

FLAGS = (
    # Each worker thread runs its own program on its own core (`lr_batch.engine.workers`): no thread pool within kernels.
    "--xla_cpu_multi_thread_eigen=false",
    "intra_op_parallelism_threads=1",
    # jaxlib 0.10.0 to 0.10.2 hangs for ever on two independent batched LAPACK calls in one program, the shape of
    # Shampoo under vmap; this cures it.
    "--xla_cpu_enable_concurrency_optimized_scheduler=false",
)
# JAX takes LAPACK from SciPy's OpenBLAS, which shares a matrix of 128 rows out among threads of its own. They spin while
# they wait, for cores that the workers keep busy: with other work on the machine a QR took 69 ms of processor time
# instead of 0.4, an eigendecomposition 29 instead of 0.8.
ONE_THREAD = "OPENBLAS_NUM_THREADS", "1"


def set_xla_flags() -> None:
    """Adds the flags to XLA_FLAGS, and one thread for OpenBLAS; what the user has set stays as it is."""
    os.environ.setdefault(*ONE_THREAD)
    given = os.environ.get("XLA_FLAGS", "")
    names = {flag.partition("=")[0] for flag in given.split()}
    missing = [flag for flag in FLAGS if flag.partition("=")[0] not in names]
    os.environ["XLA_FLAGS"] = " ".join([*given.split(), *missing])
