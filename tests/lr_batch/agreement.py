"""Whether a lane agrees with a plain loop, and the draws of the long form by their numbers, in any number of processes.

    python tests/lr_batch/agreement.py                        300 draws
    python tests/lr_batch/agreement.py 195-299 --shard 1/8    every eighth of these; 2/8 the next ones
    python tests/lr_batch/agreement.py 0-99 --seed 2          fresh ones

Equal within 1e-5 (in bfloat16 within its last bits). Some chains know their own outcome no better than much worse: in
bfloat16 two steps of Shampoo, SOAP and then `scale_by_stddev`, which divides by the root of a difference of nearly equal
numbers, end 25 % elsewhere when the initial parameters move by one last bit, and 15 % by another; a lane, which XLA fuses
in another way, is 21 % off, and 2e-7 in float32. So is Lion's where momentum and gradient cancel: the last bits of what
each example adds to the gradient decide whether a weight goes up or down by the whole rate. There a lane may differ by
`SEVERAL` times what roundings of parameters and losses change, and in bfloat16 the same draw has to agree in float32, so
that a wide tolerance hides no wrong lane.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import traceback
from collections import Counter

from runs.xla_flags import set_xla_flags

set_xla_flags()

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from plain_loop import DRAWS, RATES, Draw, Made, made_of, plain_loop

import lr_batch
from lr_batch.lanes.held_out_blocks import in_blocks
from lr_batch.lanes.lane import Draw as Examples
from lr_batch.lanes.lane import LaneState, make_lane
from lr_batch.lanes.micro_batch import micro_batches_of
from lr_batch.lanes.race import make_train, state_axes

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
    """Relative changes by the last bits."""
    last = 4e-3 if draw.dtype == "bfloat16" else 1e-7
    return [times * last for times in (-2, -1, 1, 2)]


def agree(draw: Draw) -> str:
    """How lane and loop agree; a draw that is refused with a reason is fine.

    Raises:
      AssertionError: where a lane is no plain loop, or a refusal says no reason.
    """
    try:
        made = made_of(draw)
        ours = lanes_of(draw, made)
    except TypeError:  # of JAX: what `run` refuses before, as do all checks
        try:
            lr_batch.check(study_of(draw, made))
        except lr_batch.StudyError as refusal:
            assert re.search("it must keep it|optim.keep_dtypes", str(refusal)), (draw, str(refusal))
            return "refused: the optimizer's state changes its dtype"
        raise
    except (ValueError, lr_batch.StudyError) as refusal:
        assert str(refusal) and "\n" not in str(refusal), (draw, str(refusal))
        return f"refused: {refusal}"
    theirs, tolerance = np.array(plain_loop(draw, made, RATES)), TOLERANCE.get(draw.dtype, USUAL)
    if np.allclose(ours, theirs, rtol=tolerance, atol=0):
        return "equal"
    # Some optimizers divide rounding errors by their size: then the loop itself is known no better than this.
    moved = [np.abs(np.array(plain_loop(draw, made, RATES, off=off)) - theirs) for off in roundings(draw)]
    tolerance = np.maximum(tolerance * np.abs(theirs), SEVERAL * np.max(moved, axis=0))
    assert (np.abs(ours - theirs) <= tolerance).all(), (draw, ours, theirs.tolist(), tolerance.tolist())
    if draw.dtype == "bfloat16":
        agree(draw._replace(dtype="float32"))
    return "equal up to what roundings change"


def drawn(count: int, number: int) -> list[Draw]:
    """The first draws of a seed, 1 being that of the long form; they depend on the version of hypothesis."""
    draws: list[Draw] = []

    @seed(number)
    @settings(max_examples=count, **DRAWN)
    @given(draw=DRAWS)
    def collect(draw):
        draws.append(draw)

    collect()
    return draws


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("draws", nargs="?", default="0-299", metavar="FIRST-LAST")
    parser.add_argument("--seed", type=int, default=1, help="of the draws: 1 is that of the long form")
    parser.add_argument("--shard", default="1/1", metavar="K/N", help="every N-th of them, from the K-th on")
    chosen = parser.parse_args()
    (first, last), (shard, shards) = (
        map(int, text.split(sign)) for text, sign in ((chosen.draws, "-"), (chosen.shard, "/"))
    )
    draws, counts, since = drawn(last + 1, chosen.seed), Counter(), time.monotonic()
    for number in range(first + shard - 1, last + 1, shards):
        try:
            ended = agree(draws[number])
        except Exception:  # the next ones are tried too
            ended = "FAULT"
            traceback.print_exc()
        counts[ended.partition(":")[0]] += 1
        name = getattr(draws[number].optimizer, "__name__", draws[number].optimizer)
        print(f"draw {number}: {ended} {draws[number]._replace(optimizer=name)}", flush=True)
    print(f"shard {chosen.shard} of {chosen.draws}: {dict(counts)}, {time.monotonic() - since:.0f} s")
    return int(counts["FAULT"] > 0)


if __name__ == "__main__":
    sys.exit(main())
