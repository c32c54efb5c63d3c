"""The untrained model: losses, gradient and metrics are finite, and the goal is still to be reached."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from lr_batch.checks.probe import ROWS, Probe, blocks, spread, take
from lr_batch.errors import StudyError
from lr_batch.problem.workload import Goal, num_examples

TRAINING_ROWS = 4_096  # of which the loss is computed
SEEDS = 8  # whose initial parameters are evaluated
MORE_IS_BETTER = set(
    "accuracy acc auc auroc precision recall r2 iou dice psnr ssim bleu hit hits top kappa mcc".split()
)
SURELY_LESS = set("error err loss miss misses".split())
LESS_IS_BETTER = SURELY_LESS | set("distance gap drop".split())  # top1_error, dice_loss, accuracy_drop
CAUSE = "check labels, indices and targets, no learning rate mends it"


def check_training_loss(probe: Probe) -> list[str]:
    """Raises StudyError where a training loss or a gradient is not finite, or all gradients are zero."""
    data, params = probe.workload.train_data, probe.params[0]
    rows = spread(data, TRAINING_ROWS)
    values = [probe.loss(params, take(data, part), probe.keys[0]) for part in blocks(rows, ROWS)]
    _check_finite(probe, "loss", "training", rows, np.concatenate(values)[: len(rows)])
    batch = take(data, spread(data, ROWS))
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
    return [f"training loss: finite before the first step, and so is its gradient ({len(rows):,} rows)"]


def check_metrics(probe: Probe, goal: Goal, seeds: Sequence[int], to_goal: bool) -> list[str]:
    """Raises StudyError where a held-out metric is not finite, or meets the goal already."""
    _check_direction(probe.workload.name, goal)
    rows = np.arange(num_examples(probe.workload.eval_data))
    starts = []
    for seed in seeds[:SEEDS]:
        values = _held_out(probe, probe.init(seed), rows)
        for name in (goal.metric, *sorted(set(values) - {goal.metric})):
            _check_finite(probe, name, "held-out", rows, values[name])
        starts.append(float(values[goal.metric].mean()))
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
    more, less = _better(goal.metric)
    return "" if more or less else f", or did you mean '{goal._replace(above=not goal.above)}'?"


def _check_direction(name: str, goal: Goal) -> None:
    """Refuses a goal on the side from which training moves away, as the metric's name says."""
    more, less = _better(goal.metric)
    if (more and not goal.above) or (less and goal.above):
        raise StudyError(
            f"{name}: {'more' if more else 'less'} {goal.metric} is better, but the goal is {goal}: write "
            f"'{goal._replace(above=more)}'"
        )


def _better(metric: str) -> tuple[bool, bool]:
    """Whether more of a metric is better, and whether less is, by its name; neither where that says nothing."""
    words = set(metric.lower().replace("-", "_").split("_"))
    words |= {word.rstrip("0123456789") for word in words}  # top1, acc5
    more, less = bool(words & MORE_IS_BETTER), bool(words & LESS_IS_BETTER)
    return more and not less, bool(words & SURELY_LESS)


def _held_out(
    probe: Probe, params: object, rows: Int[np.ndarray, " n"]
) -> dict[str, Float[np.ndarray, " n"]]:
    parts = [probe.metrics(params, take(probe.workload.eval_data, part)) for part in blocks(rows, ROWS)]
    return {name: np.concatenate([part[name] for part in parts])[: len(rows)] for name in parts[0]}


def _check_finite(
    probe: Probe, name: str, part: str, rows: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"]
) -> None:
    wrong: Bool[np.ndarray, " n"] = ~np.isfinite(values)
    if wrong.any():
        raise StudyError(
            f"{probe.workload.name}: {name} of {wrong.sum():,} of {len(rows):,} {part} examples is not finite before "
            f"the first step (first: row {rows[np.argmax(wrong)]}): {CAUSE}"
        )
