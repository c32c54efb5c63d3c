"""What a step costs beside an evaluation, counted and not timed: it decides numbers, and is the same on every machine."""

from __future__ import annotations

import math

import jax

from lr_batch.engine.memo import once_per_program
from lr_batch.engine.products import products
from lr_batch.lanes.micro_batch import LADDERS, micro_batch_of
from lr_batch.study import Study

# Held-out rows evaluated in the time in which one example is differentiated, at least. Two cores of a CPU, 64 rows at
# once: 2.2 to 4 at batch size 64 (digits_mlp, digits_cnn, pydoc_lm, fully connected and convolutional on 28 x 28 pixels).
GRADIENT = 2.25
# A micro-batch takes the time of so many examples beside its own, for reading and writing parameters: `FIXED`, and
# `MOVED` times the parameters for each multiplication of an example's forward pass. Measured at batch size 1, as rows
# evaluated: 16, 8, 5.5, 17 and 6.5 in the order above; counted 14, 5, 4.8, 14 and 7.
FIXED, MOVED = 1.0, 4.0
# Multiplications and additions of a forward pass of one row from which on a step is called expensive: a default study
# then takes tens of minutes on two cores. digits_cnn has 50,000, pydoc_lm 850,000.
EXPENSIVE = 250_000


def rows_worth_a_step(study: Study, batch_size: int) -> float:
    """Held-out rows that can be evaluated in the time of one step, rather too few than too many."""
    overhead = FIXED + MOVED * _parameters_per_multiplication(study)
    own = LADDERS["cpu"]  # on an accelerator too, where small steps cost more: a study is the same everywhere
    examples = micro_batch_of(batch_size, study.workload.micro_batch, study.workload.group, own)
    return GRADIENT * -(-batch_size // examples) * (examples + overhead)


def is_expensive(study: Study) -> bool:
    """Whether a study takes so long that it is worth leaving out trials that are likely to lose."""
    return _forward_flops(study) >= EXPENSIVE


@once_per_program()
def _parameters_per_multiplication(study: Study) -> float:
    """Parameters over the multiplications of a forward pass of one row; 1 where each is used once or less often."""
    params = jax.eval_shape(study.workload.init, jax.random.key(0))
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    return min(1.0, size / max(_forward_flops(study) / 2, 1))


@once_per_program()
def _forward_flops(study: Study) -> float:
    """Multiplications and additions of products of matrices in a forward pass of one held-out row."""
    workload = study.workload
    start = jax.eval_shape(workload.before_training, jax.random.key(0))
    row = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype), workload.eval_data
    )
    return float(sum(product.flops * product.count for product in products(workload.evaluate, start, row)))
