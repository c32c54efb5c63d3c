"""Losses whose backward pass computes activations a second time instead of keeping them (Chen et al., 2016).

The operations of a loss are cut into segments where few bytes are handed on, such as the sum of a residual block. Between
the passes only these lie in memory; the backward pass computes a segment again before it goes through it. So it takes a
forward pass more, and about the square root of the memory for activations. Bodies of `scan`, as of a recurrent network,
are segments by themselves: between the passes lies what is carried from step to step. It works on what JAX traces,
however the model is written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var, jaxpr_as_fun

from lr_batch.problem.segments_of_loss import best_cuts, read_by, variables
from lr_batch.problem.trees import PyTree
from lr_batch.problem.workload import Workload

CALLS = ("jit", "pjit")  # whose operations are cut like all others


def rematerialised(workload: Workload, on: bool = True) -> Workload:
    """The workload whose training loss keeps few activations for its gradient, with the same numbers within rounding; as
    it is where that is not `on`."""
    if not on:
        return workload
    statistics = workload.statistics
    if statistics is not None:
        statistics = statistics._replace(train=in_segments(statistics.train))
    return workload._replace(loss=in_segments(workload.loss), statistics=statistics)


@functools.lru_cache
def in_segments(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """A function that keeps what its segments begin with; the same one for the same function, and once for good."""
    if getattr(function, "rematerialised", False):
        return function

    @functools.wraps(function)
    def segmented(*args: Any) -> PyTree:
        leaves, tree = jax.tree.flatten(args)
        of_leaves = lambda *leaves: function(*jax.tree.unflatten(tree, leaves))
        closed, outputs = jax.make_jaxpr(of_leaves, return_shape=True)(*leaves)
        flat = jax.make_jaxpr(lambda *leaves: _inlined(closed.jaxpr, closed.consts, leaves))(*leaves)
        return jax.tree.unflatten(jax.tree.structure(outputs), _evaluated(flat, leaves))

    vars(segmented)["rematerialised"] = True
    return segmented


def _inlined(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """What a function returns, without calls of compiled functions in it."""
    values: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))
    for equation in jaxpr.eqns:
        if equation.primitive.name in CALLS:
            inner = equation.params["jaxpr"]
            outputs = _inlined(inner.jaxpr, inner.consts, _values(values, equation.invars))
        else:
            reads = list(dict.fromkeys(variables(equation.invars)))
            outputs = _function(jaxpr, reads, equation.outvars, [equation])(*_values(values, reads))
        values.update(zip(equation.outvars, outputs, strict=True))
    return _values(values, jaxpr.outvars)


def _evaluated(closed: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
    """What a function returns, its segments computed a second time for the gradient, but the last, which is at hand."""
    jaxpr = closed.jaxpr
    values: dict[Any, Any] = dict(
        zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True)
    )
    for first, last in pairwise(best_cuts(jaxpr)):
        equations = jaxpr.eqns[first:last]
        if equations[0].primitive.name == "scan":
            makes, inputs = equations[0].outvars, _values(values, equations[0].invars)
            outputs = _scanned(equations[0], inputs)
        else:
            reads, makes = read_by(jaxpr, first, last)
            run = _function(jaxpr, reads, makes, equations)
            run = run if last == len(jaxpr.eqns) else computed_twice(run)
            outputs = run(*_values(values, reads))
        values.update(zip(makes, outputs, strict=True))
    return _values(values, jaxpr.outvars)


def computed_twice(function: Callable[..., list[jax.Array]]) -> Callable[..., list[jax.Array]]:
    """A function of arrays whose backward pass computes it again from its arguments.

    As a branch that the compiler cannot foresee: on a CPU it merges what `jax.checkpoint` leaves in line with the forward
    pass, whose results are then kept all the same.
    """

    @jax.custom_vjp
    def twice(*args: Any) -> list[jax.Array]:
        return function(*args)

    def forward(*args):
        values = [arg.value for arg in args]
        moves = [
            () if arg.perturbed else None for arg in args
        ]  # a part of the tree, as it must not be traced
        return function(*values), (values, moves)

    def backward(kept, cotangents):
        values, moves = kept
        moving = [i for i, moves_it in enumerate(moves) if moves_it is not None]
        of_moving = lambda *some: function(*_replaced(values, moving, some))
        some = [values[i] for i in moving]
        again = lambda: list(jax.vjp(of_moving, *some)[1](_instantiated(cotangents)))
        unforeseen = jax.lax.optimization_barrier(jnp.bool_(True))
        found = jax.lax.cond(unforeseen, again, lambda: [jnp.zeros_like(value) for value in some])
        return tuple(_replaced([None] * len(values), moving, found))

    twice.defvjp(forward, backward, symbolic_zeros=True)
    return twice


def _replaced(values: Sequence[Any], places: Sequence[int], new: Sequence[Any]) -> list[Any]:
    made = list(values)
    for place, value in zip(places, new, strict=True):
        made[place] = value
    return made


def _instantiated(cotangents: PyTree) -> PyTree:
    """With zeros for what nothing depends on."""
    is_zero = lambda leaf: isinstance(leaf, jax.custom_derivatives.SymbolicZero)
    make = lambda leaf: jnp.zeros(leaf.shape, leaf.dtype) if is_zero(leaf) else leaf
    return jax.tree.map(make, cotangents, is_leaf=is_zero)


def _function(
    jaxpr: Jaxpr, reads: Sequence[Var], makes: Sequence[Var], equations: Sequence[Any]
) -> Callable[..., list[Any]]:
    """Some operations of a function as one of what they read."""
    of_these = dict(constvars=[], invars=list(reads), outvars=list(makes), eqns=list(equations))
    names = jaxpr.debug_info.with_unknown_names()  # those of the arguments of the whole do not fit
    return jaxpr_as_fun(ClosedJaxpr(jaxpr.replace(**of_these, debug_info=names), ()))


def _scanned(equation: Any, inputs: Sequence[Any]) -> list[Any]:
    """A loop over a known number of steps, each of which is computed a second time."""
    params = equation.params
    consts, carried = params["num_consts"], params["num_consts"] + params["num_carry"]
    body = jax.checkpoint(jaxpr_as_fun(params["jaxpr"]), prevent_cse=False)  # two loops are never merged

    def step(carry, x):
        outputs = body(*inputs[:consts], *carry, *x)
        return outputs[: len(carry)], outputs[len(carry) :]

    over = {name: params[name] for name in ("length", "reverse", "unroll")}
    carry, stacked = jax.lax.scan(step, list(inputs[consts:carried]), list(inputs[carried:]), **over)
    return [*carry, *stacked]


def _values(values: dict[Any, Any], inputs: Sequence[Any]) -> list[Any]:
    return [var.val if isinstance(var, Literal) else values[var] for var in inputs]
