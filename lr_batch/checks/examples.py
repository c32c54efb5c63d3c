"""Whether the examples of a batch are independent of each other.

Batches are cut into micro-batches and filled up with masked rows. A loss or a layer in which examples meet
(contrastive losses, hand-written batch normalization, squared errors that broadcast) would see other examples than
the batch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Bool, Int

from lr_batch.checks.probe import COARSE, Probe, each_float, spread, take
from lr_batch.errors import StudyError
from lr_batch.problem.statistics import AVERAGED, RECOMPUTED
from lr_batch.problem.workload import PyTree, num_examples

SAID = {
    AVERAGED: "running averages, moved once a step by the moments of the whole batch",
    RECOMPUTED: "the moments of a fixed sample of training examples",
}
WAY_OUT = (
    "examples must be independent, since batches are cut into micro-batches; let no layer or loss mix the rows of a "
    "batch, and check that outputs and targets have the same shape"
)
NOISES = 8  # keys of which a mean is taken
SURE = 12  # standard errors of 8 differences: one pair of equal means in a million is that far apart
LOUD = 10  # times the parameters, and its cube times the neighbours: thresholds that training may cross are crossed
Values = dict[str, np.ndarray]  # name -> [m], or [m, k] of what a metric of the whole set is computed from


def check_independent(probe: Probe) -> list[str]:
    """Other rows beside an example must not change its value, and neither must its being alone.

    Raises:
      StudyError: naming the loss or the metric, and a row.
    """
    workload, said = probe.workload, []
    loss = lambda params, batch: {"loss": probe.loss(params, batch, probe.keys[0])}
    noisy = is_noisy(probe)
    noise = "differs" if noisy else "does not differ"
    said.append(f"noise: the training loss {noise} from key to key")
    if statistics := workload.statistics:
        said.append(
            f"batch statistics: training normalises in groups of {statistics.group}, whose examples depend on each "
            f"other; evaluation uses {SAID[statistics.mode]}"
        )
    else:
        _check_rows(probe, "training", loss, workload.train_data, alone=not noisy)
        if noisy:
            _check_sizes(probe)
        _check_gradients(probe, halves=not noisy)
        _check_loud_company(probe, "training", loss, workload.train_data)
    _check_rows(probe, "held-out", probe.metrics, workload.eval_data, alone=True)
    _check_loud_company(probe, "held-out", probe.metrics, workload.eval_data)
    whose = "each held-out one" if workload.statistics else "each"
    return [*said, f"examples: the value of {whose} does not depend on the others of its batch"]


def is_noisy(probe: Probe) -> bool:
    """Whether the training loss depends on the key of the step."""
    batch = take(probe.workload.train_data, spread(probe.workload.train_data, probe.rows))
    return any(
        not np.array_equal(*(probe.loss(params, batch, key) for key in probe.keys), equal_nan=True)
        for params in probe.params
    )


def _check_rows(
    probe: Probe, part: str, values_of: Callable[[PyTree, PyTree], Values], data: PyTree, *, alone: bool
) -> None:
    total = num_examples(data)
    if total < 2:
        return
    rows, others, odd = _rows_among_others(data, probe.rows)
    for params in probe.params:
        together, among = (values_of(params, take(data, some)) for some in (rows, others))
        _compare(probe, part, rows[~odd], _at(together, ~odd), _at(among, ~odd))
        for place in (0, len(rows) - 1) if alone else ():
            single = values_of(params, take(data, rows[place : place + 1]))
            _compare(probe, part, rows[[place]], _at(together, [place]), single)


def _check_loud_company(
    probe: Probe, part: str, values_of: Callable[[PyTree, PyTree], Values], data: PyTree
) -> None:
    """The same where outputs are larger, and where the rows beside are large or no numbers: what a batch as a whole clips
    or chooses it may not do at first, and what is added up over it is no number where that of one row is none."""
    rows, others, odd = _rows_among_others(data, probe.rows)
    batch, other = take(data, rows), take(data, others)

    def times(factor):
        beside = lambda leaf: np.where(odd.reshape(-1, *(1,) * (leaf.ndim - 1)), factor * leaf, leaf)
        return each_float(beside, other)

    larger = each_float(lambda leaf: LOUD * leaf, probe.params[1])
    for params, company in ((larger, other), *((probe.params[1], times(n)) for n in (LOUD**3, np.nan))):
        together, among = values_of(params, batch), values_of(params, company)
        _compare(probe, part, rows[~odd], _at(together, ~odd), _at(among, ~odd))


def _rows_among_others(
    data: PyTree, count: int
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """At most `count` rows, the same with others in every second place, and which places these are."""
    total, rows = num_examples(data), spread(data, count)
    odd = np.arange(len(rows)) % 2 == 1
    return rows, np.where(odd, (rows + max(1, total // 3)) % total, rows), odd


def _check_sizes(probe: Probe) -> None:
    """Noise differs with the size of a batch and the place in it, its mean over keys does not: what is divided by the
    number of rows, or weighed by their places, is seen in the mean over the later half, with the first and without.

    Raises:
      StudyError: with both means.
    """
    data = probe.workload.train_data
    rows = spread(data, probe.rows)
    half = len(rows) // 2
    keys = [jax.random.fold_in(probe.keys[0], number) for number in range(NOISES)]
    mean = lambda batch, skipped: np.array(
        [probe.loss(probe.params[1], batch, key)[skipped:].mean() for key in keys]
    )
    among, alone = mean(take(data, rows), half), mean(take(data, rows[half:]), 0)
    apart, size = abs(among.mean() - alone.mean()), abs(among.mean()) + abs(alone.mean())
    error = np.sqrt((among.var(ddof=1) + alone.var(ddof=1)) / NOISES)
    if apart > SURE * error and apart > 2 * COARSE * size:
        raise StudyError(
            f"{probe.workload.name}: the loss of {len(rows) - half} training rows is {alone.mean():.6g} on average, and "
            f"{among.mean():.6g} in a batch of {len(rows)}: {WAY_OUT}"
        )


def _check_gradients(probe: Probe, *, halves: bool) -> None:
    """A loss that is independent of other rows may have a gradient that is not: `stop_gradient`, `jax.custom_vjp`.

    Args:
      halves: whether a batch must have the gradient of its halves too; with noise it has another one.
    """
    data, params = probe.workload.train_data, probe.params[1]
    rows, others, odd = _rows_among_others(data, probe.rows)
    batch = take(data, rows)
    even = probe.gradient(params, batch, ~odd)
    parts = even, probe.gradient(params, batch, odd)
    pairs = (
        (even, probe.gradient(params, take(data, others), ~odd)),
        (jax.tree.map(np.add, *parts), probe.gradient(params, batch)),
    )
    if halves and len(rows) % 2 == 0:
        ends = [probe.gradient(params, take(data, part)) for part in np.split(rows, 2)]
        pairs += ((jax.tree.map(lambda a, b: (a + b) / 2, *ends), probe.gradient(params, batch)),)
    for one, other in pairs:
        for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
            if _apart(np.asarray(a, np.float64), np.asarray(b, np.float64), probe.tolerance):
                name = jax.tree_util.keystr(path, simple=True, separator="/") or "the parameters"
                raise StudyError(
                    f"{probe.workload.name}: the gradient of {name} that training rows give changes with the rows beside "
                    "them, though their loss does not: examples must be independent, since batches are cut into "
                    "micro-batches; look for stop_gradient or custom_vjp across the rows of a batch"
                )


def _apart(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two gradients differ by more than rounding, which is that of their largest entries."""
    known = np.isfinite(a) & np.isfinite(b)  # moved parameters may leave a loss's domain
    a, b = np.where(known, a, 0), np.where(known, b, 0)
    return bool((np.abs(a - b) > tolerance * np.max(np.abs(a) + np.abs(b), initial=0) + 1e-6).any())


def _at(values: Values, places: Sequence[int] | np.ndarray) -> Values:
    return {name: value[places] for name, value in values.items()}


def _compare(probe: Probe, part: str, rows: Int[np.ndarray, " m"], before: Values, after: Values) -> None:
    for name, value in before.items():
        known = np.isfinite(value)  # moved parameters may leave a loss's domain
        value, other = np.where(known, value, 0), np.where(known, after[name], 0)
        size = np.abs(value) + np.where(np.isfinite(other), np.abs(other), 0)
        apart = ~(np.abs(value - other) <= probe.tolerance * (size + np.median(size)) + 1e-6)
        if apart.any():
            i = int(np.argmax(apart))
            row, value, other = i // (apart.size // len(rows)), value.ravel(), other.ravel()
            raise StudyError(
                f"{probe.workload.name}: the {name} of {part} row {rows[row]} is {value[i]:.6g}, and {other[i]:.6g} "
                f"among other rows: {WAY_OUT}"
            )
