"""Where the operations of a loss are cut, so that little has to be kept between its forward and its backward pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from jax.extend.core import Jaxpr, Literal, Var

MOST_SEGMENTS = 256  # tried: 1, 2, 4, ...
LOOP = "scan"  # which has segments of its own


def best_cuts(jaxpr: Jaxpr) -> list[int]:
    """Where segments begin and end, from 0 to the number of operations: those for which the bytes that are handed on and
    the bytes that the largest of them makes are fewest together. Loops are segments."""
    made, handed_on = [_made(equation) for equation in jaxpr.eqns], _handed_on(jaxpr)
    best, least = _around_loops(jaxpr, ()), math.inf
    for halvings in range(int(math.log2(MOST_SEGMENTS)) + 1):
        cuts = _around_loops(jaxpr, _cuts_at(made, handed_on, sum(made) / 2**halvings))
        largest = max((sum(made[first:last]) for first, last in pairwise(cuts)), default=0)
        held = largest + sum(handed_on[cut] for cut in cuts[1:-1])
        if held < least:
            best, least = cuts, held
    return best


def read_by(jaxpr: Jaxpr, first: int, last: int) -> tuple[list[Var], list[Var]]:
    """What the operations from `first` to before `last` read of those before, and what later ones read of them."""
    segment = jaxpr.eqns[first:last]
    made = {var for equation in segment for var in equation.outvars}
    reads = dict.fromkeys(var for equation in segment for var in variables(equation.invars))
    later = {var for equation in jaxpr.eqns[last:] for var in variables(equation.invars)}
    later.update(variables(jaxpr.outvars))
    kept = [var for equation in segment for var in equation.outvars if var in later]
    return [var for var in reads if var not in made], kept


def variables(inputs: Sequence[Any]) -> list[Var]:
    """Those of the inputs of an operation that are no constants."""
    return [var for var in inputs if not isinstance(var, Literal)]


def _cuts_at(made: Sequence[int], handed_on: Sequence[int], most: float) -> list[int]:
    """Cuts between segments that make about `most` bytes, each where the fewest are handed on since the one before."""
    cuts, start, so_far = [], 0, 0
    for i, size in enumerate(made):
        so_far += size
        if so_far > most and i > start:
            start = min(range(start + 1, i + 1), key=lambda cut: (handed_on[cut], -cut))
            cuts.append(start)
            so_far = sum(made[start : i + 1])
    return cuts


def _around_loops(jaxpr: Jaxpr, cuts: Sequence[int]) -> list[int]:
    loops = [i for i, equation in enumerate(jaxpr.eqns) if equation.primitive.name == LOOP]
    return sorted({0, *cuts, *loops, *(i + 1 for i in loops), len(jaxpr.eqns)})


def _handed_on(jaxpr: Jaxpr) -> list[int]:
    """Bytes that are made before each operation and read by it or a later one."""
    last = {var: i for i, equation in enumerate(jaxpr.eqns) for var in variables(equation.invars)}
    last |= dict.fromkeys(variables(jaxpr.outvars), len(jaxpr.eqns))
    handed_on = [0] * (len(jaxpr.eqns) + 1)
    for i, equation in enumerate(jaxpr.eqns):
        for var in equation.outvars:
            for cut in range(i + 1, last.get(var, i) + 1):
                handed_on[cut] += _bytes(var)
    return handed_on


def _made(equation: Any) -> int:
    return sum(map(_bytes, equation.outvars))


def _bytes(var: Any) -> int:
    shape, dtype = getattr(var.aval, "shape", ()), getattr(var.aval, "dtype", None)
    return math.prod(shape) * getattr(dtype, "itemsize", 0)
