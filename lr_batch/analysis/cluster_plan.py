"""How many devices, and which batch size on them: a measured curve, and what a step costs on a cluster.

n devices share a batch of B examples; a step takes t(n, B) = ceil(B / n) / R + overhead, at R examples a second on one
device, so the goal is reached after T = S(B) t(n, B), for n T of device time. For each n the best B is looked for among
the measured batch sizes and between them. Where more devices save time they cost more in all; the knee is where n T^2
is least: beyond it twice the devices save less than a factor of sqrt(2) of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from lr_batch.analysis.critical_batch import CriticalBatchSize
from lr_batch.analysis.intervals import Estimate, Replicates, exp_estimates
from lr_batch.analysis.learning_rate_law import LearningRateLaw
from lr_batch.analysis.measured_curve import point_replicates
from lr_batch.analysis.optimum import Optimum
from lr_batch.analysis.quadratic_curve import QuadraticCurve, quadratic_curve
from lr_batch.analysis.scaling_curve import log_steps
from optim.arguments import explain_arguments

PER_OCTAVE = 8  # batch sizes that are tried
# Times the largest measured batch size: the farthest for which the error of a prediction is known
PREDICTED = 16
LogSteps = Callable[[np.ndarray], Replicates]
Edge = Literal["low", "high"]


class Cluster(NamedTuple):
    """`examples_per_second` of one device; `overhead` in seconds of every step, whatever its batch."""

    examples_per_second: float
    overhead: float = 0.0

    def step_seconds(self, batch_size: Float[np.ndarray, " n"], devices: int) -> Float[np.ndarray, " n"]:
        """Of one step; a device that gets one example fewer than another waits."""
        return np.ceil(batch_size / devices) / self.examples_per_second + self.overhead


class PlannedRow(NamedTuple):
    """The best that `devices` devices can do.

    Attributes:
      devices: n.
      batch_size: examples of a step, over all devices, with the interval of the best one.
      steps: at that batch size.
      seconds, device_seconds: until the goal, and times n.
      edge: "low" or "high" where the best batch size is the smallest or largest measured one and n allows smaller ones.
      learning_rate: best one there; None where it is not known, as beyond the measured batch sizes.
      others: hyperparameters beside the rate, of the nearest measured batch size.
      measured: whether it lies within the measured batch sizes; else the noisy quadratic predicts it.
      on_front: no fewer devices are as fast; of predicted rows never.
    """

    devices: int
    batch_size: Estimate
    steps: Estimate
    seconds: Estimate
    device_seconds: Estimate
    edge: Edge | None
    learning_rate: Estimate | None = None
    others: Mapping[str, float] = {}
    measured: bool = True
    on_front: bool = False


class ClusterPlan(NamedTuple):
    """`rows` by devices, ascending; `knee` in devices, None where fewer than two rows are measured. `knee_edge`: the knee
    is the fewest ("low") or the most ("high") devices that were asked for and measured. `by_form`: steps between measured
    batch sizes are those of the fitted curve; else log steps are interpolated, since no curve fits. `unanswered` are
    more devices than a batch has examples, as far as anything is predicted."""

    rows: tuple[PlannedRow, ...]
    knee: Estimate | None
    knee_edge: Edge | None
    by_form: bool
    unanswered: tuple[int, ...]
    range: tuple[int, int]
    predictor: QuadraticCurve
    level: float


@explain_arguments
def cluster_plan(
    critical: CriticalBatchSize, law: LearningRateLaw | None, devices: Sequence[int], cluster: Cluster
) -> ClusterPlan:
    """The best batch size on every number of devices, the front of time against cost, and its knee.

    Intervals are those of the curve: it is read again without each seed, and each reading chooses its own batch size.

    Args:
      critical: a curve with a plateau.
      law: of the best rate; None or one that is not told or not reliable: best rates are interpolated.
      devices: numbers of devices, >= 1.
      cluster: what a step costs.

    Raises:
      ValueError: the curve has no plateau, or a number is out of range.
    """
    _check(critical, devices, cluster)
    measured, rate = _measured_steps(critical), _rates(critical, law)
    predictor = quadratic_curve(critical.optima, level=critical.level)
    low, high = critical.range
    farthest = PREDICTED * high
    rows, log_seconds = [], []
    for n in sorted({n for n in devices if n <= farthest}):
        if n <= high:
            sizes = _candidates(low, high, n)
            row, logs = _row(n, sizes, measured(np.log(sizes)), cluster, critical)
            size = row.batch_size.best
            rows.append(row._replace(learning_rate=rate(size), others=_others(critical.optima, size)))
            log_seconds.append(logs)
        else:
            sizes = _candidates(high, farthest, n)
            row, _ = _row(n, sizes, predictor.log_steps(np.log(sizes)), cluster, critical)
            rows.append(row._replace(measured=False, edge=None))
    knee, knee_edge = _knee([row.devices for row in rows if row.measured], log_seconds, critical.level)
    return ClusterPlan(
        rows=_with_front(rows),
        knee=knee,
        knee_edge=knee_edge,
        by_form=critical.test.fits,
        unanswered=tuple(sorted({n for n in devices if n > farthest})),
        range=critical.range,
        predictor=predictor,
        level=critical.level,
    )


def _check(critical: CriticalBatchSize, devices: Sequence[int], cluster: Cluster) -> None:
    _, last = critical.range
    if critical.value > last:
        raise ValueError(
            f"plan: the curve has no plateau: its critical batch size lies above {last:,}, the largest batch size that "
            "reached the goal, so that nobody knows what more devices would save: measure larger batch sizes"
        )
    if not devices or min(devices) < 1:
        raise ValueError(f"plan: numbers of devices must be >= 1, got {list(devices)}")
    if not (0 < cluster.examples_per_second < np.inf and 0 <= cluster.overhead < np.inf):
        raise ValueError(
            "plan: needs more than 0 examples per second and an overhead of 0 or more, got "
            f"{cluster.examples_per_second:g} and {cluster.overhead:g}"
        )


def _measured_steps(critical: CriticalBatchSize) -> LogSteps:
    """Log steps at log batch sizes within the measured ones: of the curve where it fits, else between the points."""
    if critical.test.fits:
        return lambda log_b: critical.parameters.map(lambda p: log_steps(p, log_b))
    points, steps = point_replicates([o for o in critical.optima if o.steps is not None])
    return lambda log_b: steps.map(lambda y: np.array([np.interp(log_b, points.log_b, row) for row in y]))


def _candidates(low: int, high: int, devices: int) -> Float[np.ndarray, " sizes"]:
    """Whole batch sizes from `low` to `high`, most of them shared out evenly; at least one example a device."""
    low = max(low, devices)
    sizes = np.geomspace(low, high, max(2, 1 + round(PER_OCTAVE * np.log2(high / low))))
    even = devices * np.round(sizes / devices)
    return np.unique(np.concatenate([even[(low <= even) & (even <= high)], [low, high]]))


def _row(
    devices: int, sizes: np.ndarray, steps: Replicates, cluster: Cluster, critical: CriticalBatchSize
) -> tuple[PlannedRow, Replicates]:
    """The row of the best of `sizes`, whose log steps are `steps`; and the log of its seconds."""
    log_step, log_b = np.log(cluster.step_seconds(sizes, devices)), np.log(sizes)
    least = lambda y: np.stack([(y + log_step).min(1), log_b[(y + log_step).argmin(1)]], axis=1)
    chosen = steps.map(least)
    place = int((steps.best + log_step).argmin())
    seconds, size = exp_estimates(chosen, critical.level)
    low, high = (float(np.clip(end, sizes[0], sizes[-1])) for end in size[1:])
    ends: dict[int, Edge] = {critical.range[0]: "low", critical.range[1]: "high"}
    edge = ends.get(int(sizes[place]))
    row = PlannedRow(
        devices=devices,
        batch_size=Estimate(float(sizes[place]), low, high),
        steps=exp_estimates(steps, critical.level)[place],
        seconds=seconds,
        device_seconds=Estimate(*(devices * end for end in seconds)),
        edge=edge if len(sizes) > 1 and sizes[place] > devices else None,
    )
    return row, chosen.map(lambda pair: pair[:, :1])


def _with_front(rows: Sequence[PlannedRow]) -> tuple[PlannedRow, ...]:
    """Rows that are faster than all with fewer devices are on the front; predicted ones are not judged."""
    fastest, marked = np.inf, []
    for row in rows:
        marked.append(row._replace(on_front=row.measured and row.seconds.best < fastest))
        fastest = min(fastest, row.seconds.best)
    return tuple(marked)


def _knee(
    devices: Sequence[int], log_seconds: Sequence[Replicates], level: float
) -> tuple[Estimate | None, Edge | None]:
    """Devices at which n T^2 is least, each replicate having its own knee; and whether these are the first or last."""
    if len(devices) < 2:
        return None, None
    log_n = np.log(np.array(devices, float))
    beside = lambda parts: np.concatenate([*parts], axis=-1)
    together = Replicates(
        beside(one.best for one in log_seconds),
        beside(one.without for one in log_seconds),
        beside(one.shifts for one in log_seconds),
    )
    places = together.map(lambda y: log_n[(log_n + 2.0 * y).argmin(1)][:, None])
    (knee,) = exp_estimates(places, level)
    low, high = (float(np.clip(end, devices[0], devices[-1])) for end in knee[1:])
    number = float(round(knee.best))
    edge = "low" if number == devices[0] else "high" if number == devices[-1] else None
    return Estimate(number, low, high), edge


def _rates(critical: CriticalBatchSize, law: LearningRateLaw | None) -> Callable[[float], Estimate | None]:
    """Best rate at a batch size: of the law where one is known, else between those that were measured."""
    if law is not None and law.told and law.reliable:
        return lambda size: law.rates([size]).each[0]
    known = [o for o in critical.optima if o.learning_rate is not None]
    if not known:
        return lambda size: None
    log_b = np.log([float(o.batch_size) for o in known])
    best = np.array([o.log_rate.best for o in known])
    without = np.array([o.log_rate.without for o in known]).T
    rates = Replicates(best, without, best + np.diag([o.log_rate.grid_sd for o in known]))

    def between(size: float) -> Estimate:
        at = rates.map(lambda rows: np.array([[np.interp(np.log(size), log_b, row)] for row in rows]))
        return exp_estimates(at, critical.level)[0]

    return between


def _others(optima: Sequence[Optimum], size: float) -> dict[str, float]:
    reached = [o for o in optima if o.steps is not None]
    return dict(min(reached, key=lambda o: abs(np.log(o.batch_size / size))).others)
