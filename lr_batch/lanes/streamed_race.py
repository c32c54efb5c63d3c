"""A chunk whose training examples come in windows: the same steps and evaluations as of one that holds all of them."""

from __future__ import annotations

from collections.abc import Callable

import jax

from lr_batch.lanes.lane import Lane, LaneState
from lr_batch.lanes.race import Carry, make_evaluate_lanes, make_train
from lr_batch.problem.workload import VMAP


def make_streamed_advance(
    lane: Lane, axes: LaneState, execution: str = VMAP, *, in_parts: bool = True
) -> Callable[..., Carry]:
    """`(carry, terms, num_steps, offset, data) -> Carry` after some steps of the window `data.train`, from its row
    `offset` on; evaluated where the cadence has an evaluation there. The numbers are those of `make_advance`.
    """
    train_lanes = make_train(lane, axes, execution, alive_only=True)
    evaluate_lanes = make_evaluate_lanes(lane, axes, execution, in_parts=in_parts)

    def advance(carry, terms, num_steps, offset, data):
        draw = carry.draw._replace(offset=offset)
        lanes, draw = train_lanes(terms.hparams, carry.lanes, draw, num_steps, terms.batch_size, data.train)

        def evaluated():
            at_the_last_one = carry._replace(draw=carry.draw._replace(step=carry.draw.evaluated))
            now = draw._replace(evaluated=draw.step)
            return evaluate_lanes(at_the_last_one, lanes, now, terms, data, data.sample)

        trained = lambda: carry._replace(lanes=lanes, draw=draw)
        return jax.lax.cond(draw.step == terms.cadence[carry.evals], evaluated, trained)

    return advance
