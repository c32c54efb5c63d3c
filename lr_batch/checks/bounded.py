"""Whether a loss falls without bound: of targets beyond its range, or of outputs that want a softmax.

A cross-entropy of two labels is at least 0 for targets from 0 to 1. Labels -1 and 1, or 1 and 2, or pixels up to 255,
make another loss of it, which has no least value: it passes any goal, and what is reached says nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from lr_batch.checks.labels import Part, labelled_parts
from lr_batch.checks.probe import Probe, each_float, spread, take
from lr_batch.errors import StudyError
from lr_batch.problem.workload import PyTree, num_examples

STRONG = (1e2, 1e3, 1e4)  # times the parameters
DRAWS = 5  # of their signs: as they are, all outputs may lie on the side where a loss rises
FALLS = 5  # times as far below 0 at each of them as at the one before
SHARE = 0.1  # of rows whose losses do; the loss of a large count (Poisson) falls for a while where outputs are near 0


def check_bounded(probe: Probe) -> list[str]:
    """Raises StudyError where the loss falls without bound as outputs grow, for targets that it is not made for."""
    if probe.workload.statistics:
        return []  # larger parameters are normalised away
    strong = [_strong(probe.params[1], draw) for draw in range(DRAWS)]
    for part in labelled_parts(probe):
        y = np.asarray(part.data["y"])
        beyond: Bool[np.ndarray, " n"] = np.asarray(((y < 0) | (y > 1)).reshape(len(y), -1).any(axis=1))
        if y.dtype.kind not in "iuf" or not beyond.any() or not _falls(probe, part, beyond, strong, y):
            continue
        name = f"{probe.workload.name}: the {part.name}loss falls without bound as outputs grow"
        if not any(_falls(probe, part, beyond, strong, np.full_like(y, label)) for label in (0, 1)):
            raise StudyError(
                f"{name}, since targets go from {y.min():g} to {y.max():g}; it does not for targets from 0 to 1: let "
                "labels be 0 and 1, or scale targets to 0 to 1"
            )
        if y.dtype.kind in "iu" and y.min() >= 0 and y.ndim == 1:
            raise StudyError(
                f"{name}: what it takes from them for a class has no greatest value; where it wants logarithms of "
                "probabilities, give it jax.nn.log_softmax(outputs)"
            )
    return []


def _strong(params: PyTree, draw: int) -> list[PyTree]:
    """Parameters times each of `STRONG`, and beyond the first draw with signs by chance."""
    rng = np.random.default_rng(draw)
    signs = lambda leaf: rng.choice([-1.0, 1.0], leaf.shape) if draw else 1.0
    signed = each_float(lambda leaf: signs(leaf) * leaf, params)
    return [each_float(lambda leaf, factor=factor: factor * leaf, signed) for factor in STRONG]


def _falls(
    probe: Probe, part: Part, beyond: Bool[np.ndarray, " n"], strong: list[list[PyTree]], y: np.ndarray
) -> bool:
    """Whether losses fall, of inputs of all kinds with targets of rows that are beyond 0 to 1."""
    batch = take(part.data, spread(part.data, probe.rows))
    batch = {**batch, "y": y[np.resize(np.flatnonzero(beyond), num_examples(batch))]}

    def share(parameters: list[PyTree]) -> float:
        losses = [part.losses(batch, params) for params in parameters]
        falls = losses[0] < 0
        for before, after in zip(losses, losses[1:], strict=False):
            falls &= after < FALLS * before
        return float(falls.mean())

    return any(share(parameters) > SHARE for parameters in strong)
