"""How many bytes a function holds at once while it runs, estimated from its jaxpr: nothing is compiled or run.

A model of what a compiler does: results of products, reductions, gathers and the like lie in memory from
the operation that makes them to the last one that reads them. Elementwise operations are merged into those
that read them, and take memory only where their result goes into a product or a loop, or is read more than
once. Where it is returned it takes the place of an argument, as in a loop that carries it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

ELEMENTWISE = frozenset(
    "abs add add_any and broadcast_in_dim ceil clamp convert_element_type copy cos div eq erf exp exp2 expm1 "
    "floor ge gt integer_pow iota is_finite le log log1p logistic lt max min mul ne neg not or pow real rem "
    "round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sqrt square "
    "stop_gradient sub tan tanh xor".split()
)
# They write their results to memory, and read elementwise ones that never were in memory.
READERS = ELEMENTWISE | set("argmax argmin concatenate pad reduce_max reduce_min reduce_sum slice".split())
# The same bytes in another shape.
RENAMES = frozenset("expand_dims optimization_barrier reshape squeeze transpose".split())


class Operation(NamedTuple):
    """The numbers of what it reads and makes, and the bytes that it holds by itself, such as those of a loop's body."""

    name: str
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    within: int


def live_bytes(function: Callable, own: Any, shared: Any) -> int:
    """Most bytes that `function(own, shared)` holds at once beside its arguments.

    Only what depends on `own` counts: of lanes that share the rest, each has that much.

    Args:
      function: of two trees of arrays.
      own, shared: their shapes and dtypes, or arrays.
    """
    jaxpr = jax.make_jaxpr(function)(own, shared).jaxpr
    return _peak(jaxpr, jaxpr.invars[: len(jax.tree.leaves(own))])


def _peak(jaxpr: Jaxpr, own: Any) -> int:
    """Most bytes of results that depend on the variables `own`."""
    sizes: list[int] = [0] * len(own)  # of what is numbered; arguments lie elsewhere
    numbers = {var: number for number, var in enumerate(own)}
    operations = list(_operations(jaxpr, numbers, sizes))
    returned = {numbers[var] for var in jaxpr.outvars if not isinstance(var, Literal) and var in numbers}
    written = _written(operations)
    born, last = {}, {}
    sources = {}  # what has to be there when a result is read: itself, or what it is computed from
    for i, operation in enumerate(operations):
        reads = set().union(*(sources.get(number, {number}) for number in operation.reads))
        for number in operation.makes:
            born[number], sources[number] = i, {number} if number in written else reads
        if not (written | returned).isdisjoint(operation.makes):
            last.update(dict.fromkeys((*reads, *operation.makes), i))
    last.update(dict.fromkeys(returned, len(operations)))
    held = [operation.within for operation in operations]
    for number in written:
        for i in range(born[number], min(last[number] + 1, len(held))):
            held[i] += sizes[number]
    return max(held, default=0)


def _written(operations: list[Operation]) -> set[int]:
    """Results that lie in memory."""
    readers = Counter(number for operation in operations for number in set(operation.reads))
    needed = {n for op in operations if op.name not in READERS for n in op.reads}
    needed |= {n for op in operations if op.name != "broadcast_in_dim" for n in op.makes if readers[n] > 1}
    return {
        number
        for operation in operations
        for number in operation.makes
        if operation.name not in ELEMENTWISE or number in needed
    }


def _operations(jaxpr: Jaxpr, numbers: dict, sizes: list[int]) -> Iterator[Operation]:
    """Those of `jaxpr` and of the functions that it calls which depend on what is numbered, in order."""
    for equation in used_equations(jaxpr):
        name = equation.primitive.name
        known = [not isinstance(var, Literal) and var in numbers for var in equation.invars]
        if not any(known):
            continue
        inner = _inner(equation)
        if len(inner) == 1 and name not in ("scan", "while", "cond") and len(inner[0].invars) == len(known):
            pairs = zip(inner[0].invars, equation.invars, known, strict=True)
            inside = {var: numbers[outer] for var, outer, is_known in pairs if is_known}
            yield from _operations(inner[0], inside, sizes)
            for out, var in zip(equation.outvars, inner[0].outvars, strict=True):
                if not isinstance(var, Literal) and var in inside:
                    numbers[out] = inside[var]
        elif name in RENAMES:
            pairs = zip(equation.outvars, equation.invars, known, strict=True)
            numbers.update({out: numbers[var] for out, var, is_known in pairs if is_known})
        else:
            arguments = zip(equation.invars, known, strict=True)
            reads = tuple(numbers[var] for var, is_known in arguments if is_known)
            makes = tuple(range(len(sizes), len(sizes) + len(equation.outvars)))
            sizes += [_bytes(var) for var in equation.outvars]
            numbers.update(zip(equation.outvars, makes, strict=True))
            yield Operation(name, reads, makes, max((_peak(body, body.invars) for body in inner), default=0))


def used_equations(jaxpr: Jaxpr) -> list[Any]:
    """Those whose results are returned or read by others that are; a compiler drops the rest."""
    used = {var for var in jaxpr.outvars if not isinstance(var, Literal)}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if equation.effects or not used.isdisjoint(equation.outvars):
            kept.append(equation)
            used.update(var for var in equation.invars if not isinstance(var, Literal))
    return kept[::-1]


def _inner(equation: Any) -> list[Jaxpr]:
    """The functions that an operation calls."""
    is_jaxpr = lambda value: isinstance(value, ClosedJaxpr | Jaxpr)
    leaves = jax.tree.leaves(dict(equation.params), is_leaf=is_jaxpr)
    return [getattr(leaf, "jaxpr", leaf) for leaf in leaves if is_jaxpr(leaf)]


def _bytes(var: Any) -> int:
    return math.prod(var.aval.shape) * var.aval.dtype.itemsize if hasattr(var.aval, "shape") else 0
