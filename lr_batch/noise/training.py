"""Noise scales along a training: one trial, whose batches are split in parts at every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lr_batch.analysis.intervals import LEVEL
from lr_batch.checks import check
from lr_batch.engine.place import refuse_mesh
from lr_batch.lanes.held_out_blocks import EVAL_BLOCK, in_blocks
from lr_batch.lanes.lane import Draw, Lane, LaneState, make_lane
from lr_batch.lanes.micro_batch import micro_batches_of
from lr_batch.noise.dual_norms import NormScales, inner, norm_scales
from lr_batch.noise.examples import batch_losses
from lr_batch.noise.scale import MIN_DRAWS, NoiseScale, gradient_noise_scale
from lr_batch.problem.augmentation import refuse_augmentation
from lr_batch.problem.reaching import averaged
from lr_batch.problem.workload import PyTree, Workload, num_examples
from lr_batch.study import Study
from optim.arguments import explain_arguments

PARTS = 8  # of the batch of a step, or as many as divide it
BLOCKS = 8  # of a window: the unit of the intervals
FIRST_WINDOW = 8  # steps; every further one is as long as all before it
# Of a program that is called once: its random numbers take a second to compile well and a millisecond to draw.
COMPILED_FAST = {"xla_backend_optimization_level": 0}


class NoisePoint(NamedTuple):
    """A window of steps, and the point where it ends.

    Attributes:
      step: the last one of the window.
      metric: the goal's held-out metric there.
      average: the metric averaged in log step so far, by which the goal is reached.
      simple: B_simple over the window, two batch sizes from the same steps.
      at_end: scales in several norms at the parameters after `step`; None where they were not asked for.
    """

    step: int
    metric: float
    average: float
    simple: NoiseScale
    at_end: NormScales | None


class TrainingNoise(NamedTuple):
    """The points of a training, up to where it `reached` its goal or its steps ended.

    `mean_simple` is B_simple over all steps: mean noise over mean signal, every step counting the same.
    """

    points: tuple[NoisePoint, ...]
    mean_simple: NoiseScale
    reached: bool


class _Block(NamedTuple):
    """A stretch of steps: the last of them, the metric after it, square norms in the mean over the stretch."""

    step: int
    metric: float
    small: float
    big: float
    length: int


@explain_arguments
def noise_along_training(
    study: Study,
    *,
    norms: bool = True,
    level: float = LEVEL,
    on_point: Callable[[NoisePoint], None] | None = None,
) -> TrainingNoise:
    """Trains the one trial of `study`, as `run` would, and measures its gradient noise on the way.

    At every step the batch is split in up to 8 parts, of whole groups where the model has batch statistics: the square
    norms of the gradients of the parts and of the whole, at the parameters before the step, give |G|^2 and tr(Sigma)
    without bias. Windows end at steps 8, 16, 32, ... and are cut in 8 blocks, whose means are the unit of the intervals.

    Args:
      study: of one batch size of at least 2 (or two groups of batch statistics), one setting and one seed.
      norms: measure the scales in several norms at the end of each window, which takes most of the time.
      level: coverage of the intervals, in (0, 1).
      on_point: called with every point as soon as it is there.

    Raises:
      ValueError: in one line: more than one trial, a batch that cannot be split, a training that diverged.
      StudyError: as `run` does.
    """
    batch_size = _check(study)
    check(study)
    rungs = micro_batches_of((batch_size,), study.workload.micro_batch, study.workload.group)
    lane = make_lane(study.workload, study.lane_optimizer, study.goal.metric, rungs)
    points: list[NoisePoint] = []
    everything: list[_Block] = []
    average, reached, parts = np.inf, False, parts_of(batch_size // study.workload.group)
    for window, state in _windows(study, lane, batch_size):
        everything += window
        average = _average(study, everything)
        reached = bool(study.goal.is_met(average))
        key = jax.random.fold_in(jax.random.key(study.seed_numbers[0]), window[-1].step)
        scales = norm_scales(study.workload, lane.outcome(state), key, level) if norms else None
        simple = _simple(window, batch_size, parts, level)
        points.append(NoisePoint(window[-1].step, window[-1].metric, average, simple, scales))
        if on_point:
            on_point(points[-1])
    return TrainingNoise(tuple(points), _simple(_stretches(everything), batch_size, parts, level), reached)


def _check(study: Study) -> int:
    """The batch size of a study of one trial."""
    refuse_augmentation("noise scale", study.workload)
    refuse_mesh("noise scale", study)
    group = study.workload.group
    if study.batch_sizes == (group,):
        whole = "one example" if group == 1 else f"the {group} examples that are normalised together"
        raise ValueError(
            f"noise scale: a batch of {whole} cannot be split, and its noise not be told from its signal: take a "
            f"batch size of at least {2 * group}"
        )
    if study.batch_schedule:
        raise ValueError("noise scale: batches that grow have no one noise scale; leave batch_schedule out")
    if study.num_trials != 1:
        raise ValueError(
            f"noise scale: one trial is trained, this study has {study.num_trials}: give one batch size, one value of "
            "every hyperparameter and one seed"
        )
    (batch_size,) = study.batch_sizes
    return batch_size


def parts_of(batch_size: int) -> int:
    """In how many equal parts a batch is split: the most up to 8 that divide it, or single examples.

    >>> [parts_of(size) for size in (2, 12, 64, 100, 7, 13)]
    [2, 6, 8, 5, 7, 13]
    """
    divisors = [parts for parts in range(2, PARTS + 1) if batch_size % parts == 0]
    return max(divisors, default=batch_size)


def _windows(study: Study, lane: Lane, batch_size: int) -> Iterator[tuple[list[_Block], LaneState]]:
    """Windows of blocks, with the state at their end. The last one ends with the training, once it has blocks enough."""
    so_far: list[_Block] = []
    window: list[_Block] = []
    for block, state in _blocks(study, lane, batch_size):
        if not np.isfinite([block.metric, block.small, block.big]).all():
            raise ValueError(
                f"noise scale: the training diverged within {block.step:,} steps: take a lower learning rate"
            )
        so_far.append(block)
        window.append(block)
        ended = block.step >= study.steps_at(batch_size) or bool(study.goal.is_met(_average(study, so_far)))
        if len(window) == BLOCKS or (ended and len(window) >= MIN_DRAWS):
            yield window, state
            window = []
            if ended:
                return


def _blocks(study: Study, lane: Lane, batch_size: int) -> Iterator[tuple[_Block, LaneState]]:
    """Blocks of the trial without end."""
    workload, seed = study.workload, jnp.int32(study.seed_numbers[0])
    data, held_out = jax.tree.map(
        jnp.asarray, (workload.train_data, in_blocks(workload.eval_data, EVAL_BLOCK))
    )
    (settings,) = study.as_trained(study.settings, batch_size)
    hparams = {name: jnp.float32(value) for name, value in settings.items()}
    advance = jax.jit(partial(_advance, workload, lane, batch_size))
    refresh = lane.refresh or (lambda state, data: state)
    # Data are arguments: XLA would compute with constants while it compiles, for longer than the training takes.
    metric = jax.jit(lambda state, data, held_out: lane.evaluate(refresh(state, data), *held_out))
    begin = jax.jit(
        lambda hparams, seed: (
            lane.init(hparams, seed, jnp.bool_(True)),
            Draw.first(seed, num_examples(data)),
        ),
        compiler_options=COMPILED_FAST,
    )
    state, draw = begin(hparams, seed)
    step = 0
    while True:
        length = max(step, FIRST_WINDOW) // BLOCKS
        for _ in range(BLOCKS):
            state, draw, small, big = advance(hparams, state, draw, data, jnp.int32(length))
            step += length
            yield (
                _Block(
                    step,
                    float(metric(state, data, held_out)),
                    float(small) / length,
                    float(big) / length,
                    length,
                ),
                state,
            )


def _advance(
    workload: Workload, lane: Lane, batch_size: int, hparams, state, draw, data, length: Int[Array, ""]
):
    """`length` steps; the state, the next draw, and the sums of the square norms of parts and whole over them."""

    def one(_, carry):
        state, draw, small, big = carry
        part_sq, whole_sq = _square_norms(workload, state.params, draw, batch_size, data)
        state = lane.step(hparams, state, draw, jnp.int32(batch_size), data)
        return state, draw.next(jnp.int32(batch_size)), small + part_sq, big + whole_sq

    zero = jnp.zeros(())
    return jax.lax.fori_loop(0, length, one, (state, draw, zero, zero))


def _square_norms(
    workload: Workload, params: PyTree, draw: Draw, batch_size: int, data: PyTree
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean square norm of the gradients of the parts of a batch, and that of the whole."""
    parts, losses = parts_of(batch_size // workload.group), batch_losses(workload)
    rows = draw.orders[draw.offset + jnp.arange(batch_size)].reshape(parts, -1)

    def add(carry, part):
        square, total = carry
        index, of_part = part
        batch = jax.tree.map(lambda leaf: leaf[of_part], data)
        key = jax.random.fold_in(draw.key, index)
        grads = jax.grad(lambda p: losses(p, batch, key).mean())(params)
        return (square + inner(grads, grads), jax.tree.map(jnp.add, total, grads)), None

    zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
    (square, total), _ = jax.lax.scan(add, zero, (jnp.arange(parts), rows))
    return square / parts, inner(total, total) / parts**2


def _average(study: Study, blocks: list[_Block]) -> float:
    """The metric averaged in log step, by which the goal is reached."""
    steps = np.array([block.step for block in blocks])
    values = np.array([block.metric for block in blocks])
    return float(averaged(steps, values, study.time_constant, study.goal.metric)[-1])


def _stretches(blocks: list[_Block]) -> list[_Block]:
    """Blocks of a whole training, joined to at most 8 of about the same number of steps."""
    total = blocks[-1].step
    joined: dict[int, list[_Block]] = {}
    for block in blocks:
        joined.setdefault(int(BLOCKS * (block.step - 1) / total), []).append(block)
    return [_joined(part) for part in joined.values()]


def _joined(blocks: list[_Block]) -> _Block:
    lengths = np.array([block.length for block in blocks])
    small, big = (
        np.average([getattr(b, name) for b in blocks], weights=lengths) for name in ("small", "big")
    )
    return blocks[-1]._replace(small=float(small), big=float(big), length=int(lengths.sum()))


def _simple(blocks: list[_Block], batch_size: int, parts: int, level: float) -> NoiseScale:
    """B_simple over blocks, each weighing as much as it is long."""
    lengths = np.array([block.length for block in blocks], float)
    small, big = (np.array([getattr(block, name) for block in blocks]) for name in ("small", "big"))
    weights = lengths / lengths.mean()
    return gradient_noise_scale(weights * small, weights * big, batch_size // parts, batch_size, level=level)
