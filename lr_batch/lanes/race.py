"""A chunk as one program: its lanes advance in lock-step, are evaluated, raced, and frozen where they diverge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lr_batch.lanes.draw import Window
from lr_batch.lanes.execution import over_lanes
from lr_batch.lanes.lane import Draw, Lane, LaneState
from lr_batch.lanes.lane_axes import lane_axes
from lr_batch.problem.reaching import on_scale
from lr_batch.problem.workload import VMAP, PyTree, num_examples

AnyArray = Any  # of NumPy, of JAX, or the shape of one


class Carry(NamedTuple):
    """Everything that a chunk needs to go on: resumed from it, it continues bit for bit.

    `evals` evaluations are done, `values` holds them, `first` is the steps to goal of the first lane that got
    there (infinite before), `running` turns false when the race is over. `value` is the last evaluation and `average`
    what the goal is compared with, both on the scale of the average, see `lr_batch.problem.reaching`, and NaN before
    the first one. `best` is the best average of any lane up to each evaluation, the lower the better, infinite where none
    is known; `let_go` are lanes that are no longer trained though they have not diverged.
    """

    draw: Draw | Window
    lanes: LaneState
    evals: Int[Array, ""]
    steps_to_goal: Float[Array, " lanes"]
    values: Float[Array, "evals lanes"]
    value: Float[Array, " lanes"]
    average: Float[Array, " lanes"]
    first: Float[Array, ""]
    running: Bool[Array, ""]
    best: Float[Array, " evals"]
    let_go: Bool[Array, " lanes"]


class Terms(NamedTuple):
    """The terms under which a chunk runs; all of them are traced, so that one program serves them all.

    `cadence[e]` is the step of evaluation e, for e < num_evals; the rest is padding. It reads `reads[e, 1]` held-out rows
    from place `reads[e, 0]` of their order on; 0 stands for all of them. `weights[e]` are those of the
    average so far, the value before and the value now in the average at evaluation e. A `batch_size` that changes is a
    table, see `batch_size_at`. The goal is reached where the
    average is below `threshold`, on its scale, or above it. From the first lane that reaches it on, lanes that have
    reached it too are let go, and lanes that are behind: whose average is no better than the best one was after
    1 / `behind` of the steps. 0 lets none go.
    """

    hparams: Mapping[str, Float[AnyArray, " lanes"]]
    batch_size: Int[AnyArray, ""] | Int[AnyArray, "phases 2"]
    cadence: Int[AnyArray, " evals"]
    num_evals: Int[AnyArray, ""]
    reads: Int[AnyArray, "evals 2"]
    weights: Float[AnyArray, "evals 3"]
    threshold: Float[AnyArray, ""]
    above: Bool[AnyArray, ""]
    slack: Float[AnyArray, ""]
    behind: Float[AnyArray, ""]


class Data(NamedTuple):
    """Held-out examples come in blocks `[blocks, n, ...]` that are evaluated one at a time; `mask` marks real rows. Parts
    of them are read in `order`. Where training examples are streamed, `train` is a window of them, and `sample` what
    batch statistics are recomputed from."""

    train: PyTree
    held_out: PyTree
    mask: Bool[AnyArray, "blocks n"]
    order: Int[AnyArray, " rows"]
    sample: PyTree = ()


def state_axes(lane: Lane, hparams: Sequence[str], train_data: PyTree) -> LaneState:
    """Where the lane axis of each leaf of a `LaneState` is: 0, or None where lanes share the leaf."""

    def step(per_lane, state):
        one = jnp.int32(1)
        # A shape: nothing is run
        data = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), train_data)
        state = lane.step(per_lane[0], state, Draw.first(one, num_examples(train_data)), one, data)
        return lane.refresh(state, data) if lane.refresh else state

    names = dict.fromkeys(hparams, jax.ShapeDtypeStruct((), jnp.float32))
    per_lane = (names, jax.ShapeDtypeStruct((), jnp.bool_))
    return lane_axes(
        lambda lane_inputs: lane.init(lane_inputs[0], jnp.int32(0), lane_inputs[1]), step, per_lane
    )


def make_start(lane: Lane, axes: LaneState, num_train: int | None, max_evals: int) -> Callable[..., Carry]:
    """`(hparams, seed, valid, first) -> Carry` before the first step; without `num_train` where examples are streamed.

    Lanes that are not `valid` only fill the width. `first` is the best known steps to goal, infinite if none is.
    """

    def start(hparams, seed, valid, first):
        zero = jnp.int32(0)
        width = valid.shape[0]
        return Carry(
            draw=Window.first(seed) if num_train is None else Draw.first(seed, num_train),
            lanes=jax.vmap(lane.init, in_axes=(0, None, 0), out_axes=axes)(hparams, seed, valid),
            evals=zero,
            steps_to_goal=jnp.full(width, jnp.nan, jnp.float32),
            values=jnp.full((max_evals, width), jnp.nan, jnp.float32),
            value=jnp.full(width, jnp.nan, jnp.float32),
            average=jnp.full(width, jnp.nan, jnp.float32),
            first=first,
            running=jnp.any(valid),
            best=jnp.full(max_evals, jnp.inf, jnp.float32),
            let_go=jnp.zeros(width, bool),
        )

    return start


def batch_size_at(
    batch_size: Int[AnyArray, ""] | Int[AnyArray, "phases 2"], step: Int[Array, ""]
) -> Int[Array, ""]:
    """Examples of the batch of a step; of a table with rows (first step, size) by the last row that has begun."""
    if jnp.ndim(batch_size) == 0:
        return batch_size
    return batch_size[jnp.sum(batch_size[:, 0] <= step) - 1, 1]


def make_train(
    lane: Lane, axes: LaneState, execution: str = VMAP, *, alive_only: bool = False
) -> Callable[..., tuple[LaneState, Draw]]:
    """`(hparams, lanes, draw, num_steps, batch_size, data) -> (lanes, draw)` after `num_steps` steps of all lanes.

    With `alive_only` blocks of lanes that have diverged or only fill the width take no time; one lane has to be alive.
    """

    def train(hparams, state, draw, num_steps, batch_size, data):
        def one(_, carry):
            state, draw = carry
            size = batch_size_at(batch_size, draw.step)
            return lane.step(hparams, state, draw, size, data), draw.next(size)

        return jax.lax.fori_loop(0, num_steps, one, (state, draw))

    alive = (lambda hparams, state, *shared: state.alive) if alive_only else None
    return over_lanes(
        train, (0, axes, None, None, None, None), (axes, None), execution, updated=1, alive=alive
    )


def make_refresh_lanes(
    lane: Lane, axes: LaneState, execution: str
) -> Callable[[LaneState, PyTree], LaneState]:
    """`(lanes, training data) -> lanes` as they are evaluated."""
    if lane.refresh is None:
        return lambda lanes, data: lanes
    return over_lanes(lane.refresh, (axes, None), axes, execution)


def make_advance(
    lane: Lane, axes: LaneState, execution: str = VMAP, *, in_parts: bool = True
) -> Callable[..., Carry]:
    """`(carry, terms, stop, data) -> Carry`, up to evaluation number `stop` or the end of the race.

    Without `in_parts` every evaluation reads all held-out rows, whatever `terms.reads` says.
    """
    train_lanes = make_train(lane, axes, execution, alive_only=True)
    evaluate_lanes = make_evaluate_lanes(lane, axes, execution, in_parts=in_parts)

    def advance(carry, terms, stop, data):
        def period(carry):
            num_steps = terms.cadence[carry.evals] - carry.draw.step
            lanes, draw = train_lanes(
                terms.hparams, carry.lanes, carry.draw, num_steps, terms.batch_size, data.train
            )
            return evaluate_lanes(carry, lanes, draw, terms, data, data.train)

        return jax.lax.while_loop(lambda c: c.running & (c.evals < stop), period, carry)

    return advance


def make_evaluate_lanes(
    lane: Lane, axes: LaneState, execution: str, *, in_parts: bool
) -> Callable[..., Carry]:
    """`(carry, lanes, draw, terms, data, training data) -> Carry` with the next evaluation, of lanes as they are now."""
    refresh_lanes = make_refresh_lanes(lane, axes, execution)
    alive = lambda lanes, *shared: lanes.alive
    evaluate_all = over_lanes(lane.evaluate, (axes, None, None), 0, execution, alive=alive)
    evaluate_part = over_lanes(lane.evaluate_part, (axes, None, None, None, None), 0, execution, alive=alive)

    def values_of(lanes, data, read):
        everything = lambda: evaluate_all(lanes, data.held_out, data.mask)
        if not in_parts:
            return everything()
        part = lambda: evaluate_part(lanes, data.held_out, data.order, read[0], read[1])
        return jax.lax.cond(read[1] == 0, everything, part)

    def evaluate_lanes(carry, lanes, draw, terms, data, train_data):
        lanes = refresh_lanes(lanes, train_data)
        values = values_of(lanes, data, terms.reads[carry.evals]).astype(jnp.float32)
        return record(carry, lanes, draw, values, terms, on_scale(lane.metric, values, jnp))

    return evaluate_lanes


def record(
    carry: Carry,
    lanes: LaneState,
    draw: Draw | Window,
    values: Float[Array, " lanes"],
    terms: Terms,
    scaled: Float[Array, " lanes"],
) -> Carry:
    """Takes in one evaluation: which lanes reached the goal, which diverged, and whether the race goes on.

    `scaled` are the values on the scale on which they are averaged.
    """
    alive = lanes.alive & jnp.isfinite(values)
    average = average_now(terms.weights[carry.evals], carry.average, carry.value, scaled)
    good = jnp.where(terms.above, average > terms.threshold, average < terms.threshold)
    reached = alive & good & jnp.isnan(carry.steps_to_goal)
    crossing = crossing_step(carry.draw.step, carry.average, draw.step, average, terms.threshold)
    steps_to_goal = jnp.where(reached, crossing, carry.steps_to_goal)
    first = jnp.minimum(carry.first, jnp.min(jnp.where(reached, crossing, jnp.inf)))
    best = best_so_far(carry, alive, average, terms)
    decided = jnp.isfinite(steps_to_goal) | is_behind(best, average, draw.step, terms)
    let_go = alive & decided & (terms.behind > 0) & (draw.step >= first)
    trained = alive & ~let_go
    undecided = jnp.any(trained & jnp.isnan(steps_to_goal))
    evals = carry.evals + 1
    return Carry(
        draw=draw,
        lanes=lanes._replace(alive=trained, last_step=jnp.where(let_go, draw.step, lanes.last_step)),
        evals=evals,
        steps_to_goal=steps_to_goal,
        values=carry.values.at[carry.evals].set(jnp.where(alive, values, jnp.nan)),
        value=scaled,
        average=average,
        first=first,
        running=undecided & (evals < terms.num_evals) & (draw.step < terms.slack * first),
        best=best,
        let_go=carry.let_go | let_go,
    )


def best_so_far(
    carry: Carry, alive: Bool[Array, " lanes"], average: Float[Array, " lanes"], terms: Terms
) -> Float[Array, " evals"]:
    """`Carry.best` with this evaluation."""
    now = jnp.min(jnp.where(alive & jnp.isfinite(average), lower_is_better(average, terms), jnp.inf))
    before = jnp.where(carry.evals > 0, carry.best[carry.evals - 1], jnp.inf)
    return carry.best.at[carry.evals].set(jnp.minimum(before, now))


def is_behind(
    best: Float[Array, " evals"], average: Float[Array, " lanes"], step: Int[Array, ""], terms: Terms
) -> Bool[Array, " lanes"]:
    """Which lanes are no better than the best one was after 1 / `terms.behind` of these steps.

    Where curves are one curve on other scales of time, they need `behind` times the steps of the best lane.
    """
    earlier = jnp.searchsorted(terms.cadence, step / terms.behind, side="right") - 1
    return ~(lower_is_better(average, terms) < best[earlier])


def lower_is_better(average: Float[Array, " lanes"], terms: Terms) -> Float[Array, " lanes"]:
    return jnp.where(terms.above, -average, average)


def average_now(
    weights: Float[Array, " 3"],
    average: Float[Array, " lanes"],
    before: Float[Array, " lanes"],
    now: Float[Array, " lanes"],
) -> Float[Array, " lanes"]:
    """One step of the average in log step; where it begins, nothing before counts, not even NaN."""
    past = jnp.where(weights[0] > 0, weights[0] * average + weights[1] * before, 0.0)
    return past + weights[2] * now


def crossing_step(
    step_before: Int[Array, ""],
    value_before: Float[Array, " lanes"],
    step: Int[Array, ""],
    value: Float[Array, " lanes"],
    threshold: Float[Array, ""],
) -> Float[Array, " lanes"]:
    """Where the line between two averages meets the threshold; `step` where there was none before."""
    share = (value_before - threshold) / (value_before - value)
    known = jnp.isfinite(value_before)
    return jnp.where(known, step_before + share * (step - step_before), step.astype(jnp.float32))
