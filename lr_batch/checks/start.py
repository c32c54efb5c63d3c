"""The untrained model: losses, gradient and metrics are finite, and the goal is still to be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from lr_batch.checks.probe import Probe, blocks, spread, take
from lr_batch.checks.whole_set import value_over
from lr_batch.errors import StudyError
from lr_batch.problem.column import is_streamed
from lr_batch.problem.goal import better
from lr_batch.problem.workload import Goal, PyTree, evenly_spaced, num_examples

TRAINING_BATCHES = 64  # of which the loss is computed
WEIGHTLESS_BATCHES = 8  # of examples that do not count, whose gradient is computed
SEEDS = 8  # whose initial parameters are evaluated
CAUSE = "check labels, indices and targets, no learning rate mends it"


def check_training_loss(probe: Probe) -> list[str]:
    """Raises StudyError where a training loss or a gradient is not finite, or all gradients are zero."""
    data, params = probe.workload.train_data, probe.params[0]
    rows = spread(data, TRAINING_BATCHES * probe.rows)
    values = [probe.loss(params, take(data, part), probe.keys[0]) for part in blocks(rows, probe.rows)]
    _check_finite(probe, "loss", "training", rows, np.concatenate(values)[: len(rows)])
    batch = take(data, spread(data, probe.rows))
    gradients = [jax.tree.leaves_with_path(probe.gradient(params, batch)) for params in probe.params]
    for path, leaf in gradients[0]:
        if not np.isfinite(np.asarray(leaf, np.float32)).all():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise StudyError(
                f"{probe.workload.name}: the gradient of {name or 'the parameters'} is not finite at the first step, "
                "though the loss is: look for sqrt, norm, log or a division at zero"
            )
    if not any(np.asarray(leaf, np.float32).any() for some in gradients for _, leaf in some):
        raise StudyError(
            f"{probe.workload.name}: the gradient of the loss is zero: nothing would be trained; look for argmax, "
            "rounding, comparisons or stop_gradient between the parameters and the loss"
        )
    _check_weightless(probe, num_examples(batch))
    return [f"training loss: finite before the first step, and so is its gradient ({len(rows):,} rows)"]


def _check_weightless(probe: Probe, size: int) -> None:
    """Raises StudyError where an example that does not count, or a part of it, would make a gradient NaN: 0 times
    infinity is. Few such rows may lie among those that are tried for all."""
    weigh, data = probe.workload.weights, probe.workload.train_data
    if weigh is None or is_streamed(data):
        return
    weightless = np.flatnonzero((np.asarray(weigh(data)).reshape(num_examples(data), -1) == 0).any(axis=1))
    rows = weightless[evenly_spaced(len(weightless), WEIGHTLESS_BATCHES * size)]
    for part in blocks(rows, size):
        gradient = jax.tree.leaves(probe.gradient(probe.params[0], take(data, part)))
        if not all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in gradient):
            raise StudyError(
                f"{probe.workload.name}: training examples of weight 0 have a gradient that is not finite, and 0 times "
                f"infinity is not 0 (among rows {part[0]:,} to {part[-1]:,}): fill their inputs and targets "
                "with numbers at which the loss has one"
            )


def check_metrics(probe: Probe, goal: Goal, seeds: Sequence[int], to_goal: bool) -> list[str]:
    """Raises StudyError where a held-out metric is not finite, or meets the goal already."""
    rows = np.arange(num_examples(probe.workload.eval_data))
    starts = []
    for seed in seeds[:SEEDS]:
        params = probe.init(seed)
        values = _held_out(probe, params, rows)
        for name in (goal.metric, *sorted(set(values) - {goal.metric})):
            _check_finite(probe, name, "held-out", rows, values[name])
        starts.append(_value_at(probe, goal.metric, params, values))
        if to_goal and goal.is_met(starts[-1]):
            raise StudyError(
                f"{probe.workload.name}: held-out {goal.metric} is {starts[-1]:.4g} before the first step (seed {seed}): "
                f"the goal {goal} is met already; take a {'higher' if goal.above else 'lower'} one"
                + _other_side(goal)
            )
    start = f"{goal.metric} {min(starts):.4g}" + (f" to {max(starts):.4g}" if len(starts) > 1 else "")
    return [
        f"held-out metrics: finite; {start} before the first step" + (f", goal {goal}" if to_goal else "")
    ]


def _other_side(goal: Goal) -> str:
    """A hint at the goal from below or above, unless the metric's name says which is better."""
    return "" if any(better(goal.metric)) else f", or did you mean '{goal._replace(above=not goal.above)}'?"


def _value_at(probe: Probe, metric: str, params: PyTree, values: Mapping[str, np.ndarray]) -> float:
    if metric in probe.workload.metrics or probe.workload.weights is not None:
        return value_over(probe, metric, params, np.arange(len(values[metric])))
    return float(values[metric].mean())


def _held_out(
    probe: Probe, params: PyTree, rows: Int[np.ndarray, " n"]
) -> dict[str, Float[np.ndarray, "n ..."]]:
    parts = [probe.metrics(params, take(probe.workload.eval_data, part)) for part in blocks(rows, probe.rows)]
    return {name: np.concatenate([part[name] for part in parts])[: len(rows)] for name in parts[0]}


def _check_finite(
    probe: Probe, name: str, part: str, rows: Int[np.ndarray, " n"], values: Float[np.ndarray, "n ..."]
) -> None:
    wrong: Bool[np.ndarray, " n"] = np.asarray(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if wrong.any():
        raise StudyError(
            f"{probe.workload.name}: {name} of {wrong.sum():,} of {len(rows):,} {part} examples is not finite before "
            f"the first step (first: row {rows[np.argmax(wrong)]}): {CAUSE}"
        )
