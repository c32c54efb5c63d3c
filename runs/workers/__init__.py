"""Chunks as files: a study hands them out through a shared folder, and workers on any machine train them.

`specification` says what a chunk is and `outcome` what has become of it, `folder` keeps the names, `worker` trains,
`hand_out` is what `lr_batch.run` hands its chunks to. Modules that a process without JAX needs (`documents`,
`folder`, `pulse`) import neither JAX nor anything that does.
"""
