"""Studies on one device and over several, in a process whose CPU is cut into eight; prints what came out as JSON.

In float64, so that a sum over devices that is left out is told from one in another order.
"""

from __future__ import annotations

import json
import os
import re

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 " + os.environ.get("XLA_FLAGS", "")
os.environ["JAX_ENABLE_X64"] = "1"
from runs.xla_flags import set_xla_flags

set_xla_flags()

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import lr_batch
import optim
from lr_batch.engine import Engine, cadence_of, places, terms_of
from lr_batch.engine.programs import ADVANCE

RATES = {"learning_rate": (0.01, 0.02, 0.03, 0.05)}
MATRIX = ("muon", "shampoo", "soap")  # which need whole matrices
STEPS = 12


def each_its_own(hparams):
    """Every matrix trained by the optimizer of its name."""
    made = {name: optim.OPTIMIZERS[name].make(hparams) for name in MATRIX}
    return optax.partition(made, dict(zip(MATRIX, MATRIX, strict=True)))


def data(outputs: int):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    return x, (x @ rng.normal(size=(5, outputs))).astype(np.float32) + 0.1


def study_of(model, outputs: int, optimizer, batch_sizes, *, mesh: str | None, **how) -> lr_batch.Study:
    x, y = data(outputs)
    workload = lr_batch.from_arrays(
        model,
        train=(x[:40], y[:40]),
        held_out=(x[40:], y[40:]),
        loss=lambda outputs, y: optax.squared_error(outputs, y).mean(-1),
        goal="loss<1e-6",
        budget=STEPS,
        **how,
    )
    return lr_batch.Study(
        workload,
        optimizer,
        batch_sizes,
        RATES,
        seeds=1,
        extend=False,
        precision="float64",
        mesh=mesh,
        lanes="map" if how else "vmap",
    )


def sum_of_products(mesh: str | None = None) -> lr_batch.Study:
    """Gradients of full rank: of those that are not, directions without any are what rounding makes them."""
    init = lambda key: {name: jax.random.normal(key, (5, 4)) for name in MATRIX}
    apply = lambda params, x: x @ sum(params.values())
    return study_of((init, apply), 4, each_its_own, [20], mesh=mesh)


class Normalised(nn.Module):
    """Of which the moments of groups are summed over devices."""

    @nn.compact
    def __call__(self, x, train: bool):
        return nn.Dense(2)(nn.BatchNorm(not train)(nn.Dense(8)(x)))


def normalised(mesh: str | None = None) -> lr_batch.Study:
    return study_of(Normalised(), 2, "adam", [8, 24], mesh=mesh, group_size=4)


def trained(study: lr_batch.Study) -> tuple:
    """A chunk at its end, and the text of its program."""
    place = places(study.mesh)[0]
    engine = Engine.of(study, 4, study.lanes, max_evals=len(cadence_of(study)))
    terms = terms_of(study.settings, 4, batch_size=study.batch_sizes[0], cadence=cadence_of(study))
    start = engine.start(place, terms, 0, np.ones(4, bool), np.inf)
    carry = engine.advance(place, start, terms, len(cadence_of(study)))
    return carry, engine._program(place, ADVANCE).compiled.as_text()


def whole_matrices() -> dict:
    (alone, _), (over, program) = trained(sum_of_products()), trained(sum_of_products("lane=2,data=2"))
    leaves = lambda carry: jax.tree.leaves(jax.device_get(carry.lanes.params))
    moved = [np.ptp(leaf, axis=0).max() for leaf in leaves(alone)]  # between rates
    apart = [np.abs(a - b).max() for a, b in zip(leaves(alone), leaves(over), strict=True)]
    return {
        "apart": max(apart),
        "moved": float(min(moved)),
        "devices": len(over.lanes.alive.sharding.device_set),
        "adds up": bool(
            re.search(r"= \(?f64\[\d[^=]* all-reduce\(", program)
        ),  # the race has scalars of its own
    }


def groups() -> dict:
    mesh = "lane=2,data=2,state=spread"
    alone, over = lr_batch.run(normalised()), lr_batch.run(normalised(mesh))
    apart = [np.abs(a.values / b.values - 1).max() for a, b in zip(alone.curves, over.curves, strict=True)]
    lanes = trained(normalised(mesh))[0].lanes
    return {
        "apart": float(max(apart)),
        "trials": over.num_trials,
        "device": over.engine.device,
        "spread": sorted({str(leaf.sharding.spec) for leaf in jax.tree.leaves(lanes.params)}),
        "moments": float(jnp.abs(lanes.averages["batch_stats/BatchNorm_0/mean"]).max()),
    }


if __name__ == "__main__":
    print(json.dumps({"whole matrices": whole_matrices(), "groups": groups()}))
