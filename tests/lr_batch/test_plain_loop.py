"""A lane is a plain loop: drawn models, losses, optimizers and data types give what Flax and Optax give, or are refused.

Equal within 1e-5 (in bfloat16 within its last bits). Some chains know their own outcome no better than much worse: in
bfloat16 two steps of Shampoo, SOAP and then `scale_by_stddev`, which divides by the root of a difference of nearly equal
numbers, end 25 % elsewhere when the initial parameters move by one last bit, and 15 % by another; a lane, which XLA fuses
in another way, is 21 % off, and 2e-7 in float32. There a lane may differ by `SEVERAL` times what roundings of the start
change, and in bfloat16 the same draw has to agree in float32, so that a wide tolerance hides no wrong lane.

More draws: `LR_BATCH_DRAWS=300 python -m pytest tests/lr_batch/test_plain_loop.py -m slow`.
"""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, seed, settings
from plain_loop import DRAWS, RATES, Draw, Made, made_of, plain_loop

import lr_batch
from lr_batch.lanes.held_out_blocks import in_blocks
from lr_batch.lanes.lane import Draw as Examples
from lr_batch.lanes.lane import LaneState, make_lane
from lr_batch.lanes.micro_batch import micro_batches_of
from lr_batch.lanes.race import make_train, state_axes

SHORT, LONG = 10, int(os.environ.get("LR_BATCH_DRAWS", 300))
TOLERANCE = {"bfloat16": 3e-2}  # one rounding of a weight
USUAL = 1e-5
SEVERAL = 3  # roundings, as there is one for each operation
DRAWN = dict(deadline=None, database=None, suppress_health_check=list(HealthCheck))


def study_of(draw: Draw, made: Made) -> lr_batch.Study:
    return lr_batch.Study(
        workload=made.workload,
        optimizer=draw.optimizer,
        batch_sizes=(draw.batch_size,),
        space={"learning_rate": RATES},
        seeds=1,
    )


def lanes_of(draw: Draw, made: Made) -> list[float]:
    """Held-out loss of two lanes of one chunk, one for each rate."""
    workload, study = made.workload, study_of(draw, made)
    micro_batches = micro_batches_of(study.batch_sizes, workload.micro_batch)
    lane = make_lane(workload, study.lane_optimizer, "loss", micro_batches)
    own = LaneState(*(0 for _ in LaneState._fields))
    axes = state_axes(lane, ["learning_rate"], workload.train_data) if draw.shared else own
    hparams = {"learning_rate": jnp.array(RATES, jnp.float32)}
    number, size = jnp.int32(draw.seed), jnp.int32(draw.batch_size)
    blocks, mask = in_blocks(workload.eval_data, 8)

    @jax.jit
    def run(data, blocks):
        state = jax.vmap(lane.init, in_axes=(0, None, 0), out_axes=axes)(hparams, number, jnp.ones(2, bool))
        first = Examples.first(number, len(workload.train_data["y"]))
        state, _ = make_train(lane, axes)(hparams, state, first, jnp.int32(draw.steps), size, data)
        return jax.vmap(lane.evaluate, in_axes=(axes, None, None))(state, blocks, mask)

    return np.asarray(run(workload.train_data, blocks)).tolist()


def roundings(draw: Draw) -> list[float]:
    """Relative changes of a parameter by its last bits."""
    last = 4e-3 if draw.dtype == "bfloat16" else 1e-7
    return [times * last for times in (-2, -1, 1, 2)]


def agree(draw: Draw) -> None:
    """Raises AssertionError where a lane is no plain loop; a draw that is refused with a reason is fine."""
    try:
        made = made_of(draw)
        ours = lanes_of(draw, made)
    except TypeError:  # of JAX: what `run` refuses before, as do all checks
        with pytest.raises(lr_batch.StudyError, match="it must keep it"):
            lr_batch.check(study_of(draw, made))
        event("refused: the optimizer's state changes its dtype")
        return
    except (ValueError, lr_batch.StudyError) as refusal:
        event(f"refused: {refusal}")
        assert str(refusal) and "\n" not in str(refusal)
        return
    theirs, tolerance = np.array(plain_loop(draw, made, RATES)), TOLERANCE.get(draw.dtype, USUAL)
    if not np.allclose(ours, theirs, rtol=tolerance, atol=0):
        # Some optimizers divide rounding errors by their size: then the loop itself is known no better than this.
        moved = [np.abs(np.array(plain_loop(draw, made, RATES, off=off)) - theirs) for off in roundings(draw)]
        tolerance = np.maximum(tolerance * np.abs(theirs), SEVERAL * np.max(moved, axis=0))
        event("equal up to what a rounding of the initial parameters changes")
        assert (np.abs(ours - theirs) <= tolerance).all(), (draw, ours, theirs.tolist(), tolerance.tolist())
        if draw.dtype == "bfloat16":
            agree(draw._replace(dtype="float32"))


@seed(0)
@settings(max_examples=SHORT, **DRAWN)
@given(draw=DRAWS)
def test_a_lane_is_a_plain_loop(draw):
    agree(draw)


@pytest.mark.slow
@pytest.mark.timeout(0)
@seed(1)
@settings(max_examples=LONG, **DRAWN)
@given(draw=DRAWS)
def test_many_lanes_are_plain_loops(draw):
    agree(draw)


@pytest.mark.parametrize("fault", ["rate", "rows", "seed"])
def test_a_lane_that_is_another_loop_is_seen(fault):
    draw = Draw("pair", "cross entropy", "adam", "float32", 5, 16, 3, 1)
    agree(draw)
    wrong = {"rate": {}, "rows": {"batch_size": 4}, "seed": {"seed": 2}}[fault]
    rates = tuple(1.001 * rate for rate in RATES) if fault == "rate" else RATES
    made, other = made_of(draw), draw._replace(**wrong)
    theirs = np.array(plain_loop(other, made, rates))
    assert np.abs(lanes_of(draw, made) / theirs - 1).max() > 10 * USUAL
