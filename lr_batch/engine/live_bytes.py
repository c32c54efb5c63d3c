"""How many bytes a function holds at once while it runs, estimated from its jaxpr: nothing is compiled or run.

A jaxpr with the functions that it calls is a list of operations; which of their results lie in memory when is said in
`lr_batch.engine.lying`. Bodies of loops and branches are held within one operation. Constants take memory where
something is written into them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from lr_batch.engine.lying import READERS, Held, Operation, Result, most_held

LOOPS = frozenset("cond scan while".split())
# The same bytes in another shape.
RENAMES = frozenset("expand_dims optimization_barrier reshape squeeze transpose".split())
# Threefry counts in two words for each one that it draws and keeps both of its results, since whoever reads the bits
# combines them.
WORDS = 2
# What a variable depends on: nothing, arguments that lanes share, or a lane's own.
CONSTANT, SHARED, OWN = range(3)


def live_bytes(function: Callable, own: Any, shared: Any, lanes: int = 1) -> Held:
    """What `function(own, shared)` holds beside its arguments at the moment when so many lanes hold most.

    Args:
      function: of two trees of arrays.
      own, shared: their shapes and dtypes, or arrays; lanes differ in `own` alone.
      lanes: 1 or more.
    """
    jaxpr = jax.make_jaxpr(function)(own, shared).jaxpr
    num_own = len(jax.tree.leaves(own))
    peak = _peak(jaxpr, (*[OWN] * num_own, *[SHARED] * (len(jaxpr.invars) - num_own)), lanes)
    _body.cache_clear()  # which holds on to what was traced
    return peak


def _peak(jaxpr: Jaxpr, depends: tuple[int, ...], lanes: int, slices: int = 0) -> Held:
    """Most that is held of results, of arguments on which lanes depend as said; the last of them are `slices`."""
    numbers, results = _numbered(jaxpr, depends)
    sliced = [numbers[var] for var in jaxpr.invars[len(jaxpr.invars) - slices :] if var in numbers]
    operations = [Operation("slice", (), (number,), Held(0, 0)) for number in sliced]
    operations += _operations(jaxpr, numbers, results, lanes)
    returned = {numbers[var] for var in jaxpr.outvars if not isinstance(var, Literal) and var in numbers}
    return most_held(operations, results, returned, lanes)


def _numbered(jaxpr: Jaxpr, depends: tuple[int, ...]) -> tuple[dict, list[Result]]:
    """The arguments that are no constants."""
    known = [(var, level) for var, level in zip(jaxpr.invars, depends, strict=True) if level != CONSTANT]
    results = [Result(_bytes(var), level == OWN) for var, level in known]
    return {var: i for i, (var, _) in enumerate(known)}, results


def _operations(jaxpr: Jaxpr, numbers: dict, results: list[Result], lanes: int) -> Iterator[Operation]:
    """Those of `jaxpr` and of the functions that it calls which depend on what is numbered, in order."""
    for equation in used_equations(jaxpr):
        name, inner = equation.primitive.name, _inner(equation)
        known = [not isinstance(var, Literal) and var in numbers for var in equation.invars]
        reads = tuple(numbers[var] for var, is_known in zip(equation.invars, known, strict=True) if is_known)
        if not reads:
            continue
        if len(inner) == 1 and name not in LOOPS and len(inner[0].invars) == len(known):
            pairs = zip(inner[0].invars, equation.invars, known, strict=True)
            inside = {var: numbers[outer] for var, outer, is_known in pairs if is_known}
            yield from _operations(inner[0], inside, results, lanes)
            for out, var in zip(equation.outvars, inner[0].outvars, strict=True):
                if not isinstance(var, Literal) and var in inside:
                    numbers[out] = inside[var]
        elif name in RENAMES:
            pairs = zip(equation.outvars, equation.invars, known, strict=True)
            numbers.update({out: numbers[var] for out, var, is_known in pairs if is_known})
        else:
            level = max(OWN if results[number].own else SHARED for number in reads)
            levels, within = (level,) * len(equation.outvars), Held(0, 0)
            if name in LOOPS:
                levels, within = _loop(equation, _levels(equation.invars, numbers, results), lanes)
            elif held := _held_beside(equation, known):
                within = Held(held, 0) if level == OWN else Held(0, held)
            words = WORDS if name == "random_bits" else 1
            first = len(results)
            for var, of in zip(equation.outvars, levels, strict=True):
                if of != CONSTANT:
                    numbers[var] = len(results)
                    results.append(Result(words * _bytes(var), of == OWN))
            yield Operation(name, reads, tuple(range(first, len(results))), within)


def _held_beside(equation: Any, known: list[bool]) -> int:
    """Bytes that an operation holds beside what it reads and makes: constants that it writes into, and counters."""
    if equation.primitive.name == "random_bits":
        return sum(WORDS * _bytes(var) for var in equation.outvars)
    if equation.primitive.name in READERS:
        return 0
    constants = (var for var, is_known in zip(equation.invars, known, strict=True) if not is_known)
    return sum(_bytes(var) for var in constants if not isinstance(var, Literal))


def _levels(variables: Any, numbers: dict, results: list[Result]) -> tuple[int, ...]:
    """On what each of them depends."""
    known = [None if isinstance(var, Literal) else numbers.get(var) for var in variables]
    return tuple(CONSTANT if n is None else OWN if results[n].own else SHARED for n in known)


def _loop(equation: Any, depends: tuple[int, ...], lanes: int) -> tuple[tuple[int, ...], Held]:
    """On what each result of a loop or a condition depends, and what its body or its branches hold."""
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        first, carried = params["num_consts"], params["num_carry"]
        slices = (
            len(depends) - first - carried if params["length"] > 1 else 0
        )  # a single one is the whole array
        return _body(params["jaxpr"].jaxpr, depends, lanes, first, carried, slices)
    if name == "while":
        depends, first = depends[params["cond_nconsts"] :], params["body_nconsts"]
        return _body(params["body_jaxpr"].jaxpr, depends, lanes, first, len(equation.outvars))
    branches = [_body(branch.jaxpr, depends[1:], lanes) for branch in params["branches"]]
    levels = zip(*(levels for levels, _ in branches), strict=True)
    most = max((held for _, held in branches), key=lambda held: held.of(lanes))
    return tuple(max(depends[0], *of) for of in levels), most


@cache
def _body(
    jaxpr: Jaxpr, depends: tuple[int, ...], lanes: int, first: int = 0, carried: int = 0, slices: int = 0
) -> tuple[tuple[int, ...], Held]:
    """The same of one body, whose arguments from number `first` on are `carried` over from the turn before, and whose
    last ones are `slices` of arrays.

    From some turn on what is carried depends on all that the results depend on.
    """
    numbers, results = _numbered(jaxpr, depends)
    for _ in _operations(jaxpr, numbers, results, lanes):
        pass
    levels = _levels(jaxpr.outvars, numbers, results)
    last = first + carried
    carries = (max(pair) for pair in zip(depends[first:last], levels, strict=False))
    after = (*depends[:first], *carries, *depends[last:])
    if after == depends:
        return levels, _peak(jaxpr, depends, lanes, slices)
    return _body(jaxpr, after, lanes, first, carried, slices)


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
