"""Lanes, and the examples of a batch, shared out over the devices of a mesh.

A program is traced within its mesh (`jax.set_mesh`). Along the axis "lane" every row of devices runs the program of its
own lanes and tells the others nothing. Along "data" the devices of a row hold parts of the same micro-batch: the compiler
adds up what is summed over examples, so that losses, gradients and moments of groups are those of one device but for
their rounding, whatever the loss and the optimizer are. Without a mesh, nothing here changes a program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from lr_batch.problem.mesh_shape import DATA, LANE
from lr_batch.problem.workload import PyTree


def over_rows(function: Callable, in_axes: tuple, out_axes: Any) -> Callable:
    """`function` of all lanes as one that each row of devices calls with its own; axes as for `jax.vmap`, 0 or None."""

    def shared_out(*args):
        if _devices(LANE) < 2:
            return function(*args)
        specs = lambda axes: jax.tree.map(lane_spec, axes, is_leaf=lambda axis: axis is None)
        rows = jax.shard_map(
            function,
            in_specs=specs(in_axes),
            out_specs=specs(out_axes),
            axis_names={LANE},
            check_vma=False,  # what lanes share is computed by every row alike, which the check cannot see
        )
        return rows(*args)

    return shared_out


def lane_spec(axis: int | None) -> PartitionSpec:
    """Where an array with this lane axis lies: its lanes shared out, or whole on every device."""
    return PartitionSpec() if axis is None else PartitionSpec(LANE)


def apart(examples: PyTree) -> PyTree:
    """The rows of these arrays shared out over the devices of a lane, where their number can be divided."""
    devices = _devices(DATA)
    share = lambda leaf: jax.lax.with_sharding_constraint(leaf, PartitionSpec(DATA))
    return jax.tree.map(
        lambda leaf: share(leaf) if devices > 1 and leaf.shape[0] % devices == 0 else leaf, examples
    )


def _devices(axis: str) -> int:
    """Along an axis of the mesh that is traced within; 0 where there is none."""
    return dict(jax.sharding.get_abstract_mesh().shape).get(axis, 0)
