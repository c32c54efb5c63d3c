"""What a network does with each axis of its parameters, told from a trace: nothing is compiled or run.

A kernel's input is what the network sums over together with the data. Shapes do not say which axis that is: output
weights of shape (width,), or kernels that are kept as (out, in), look like a bias or like input weights.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var

from lr_batch import Workload

PyTree = Any
ROWS = 2  # of the held-out examples, whose values are not looked at
SUMMED, KEPT = "summed", "kept"


class Along(NamedTuple):
    """An array that is made of a parameter: for each of its axes, the parameter's axes that lie along it."""

    leaf: int
    axes: tuple[frozenset[int], ...]


class Seen(NamedTuple):
    """What is known of an array: whether the data reach it, and what parameters it is made of where they do not."""

    fed: bool
    made_of: tuple[Along, ...] = ()


class Uses(dict[tuple[int, int], set[str]]):
    """(Parameter, axis) -> whether it is summed over with the data, or kept beside them."""

    def note(self, along: Along, axes: Sequence[int], use: str) -> None:
        for axis in axes:
            for own in along.axes[axis]:
                self.setdefault((along.leaf, own), set()).add(use)


def uses_of_axes(workload: Workload) -> PyTree:
    """For each parameter a set for each of its axes: "summed" over together with the data, "kept", both or unknown."""
    params = jax.eval_shape(workload.init, jax.eval_shape(lambda: jax.random.key(0)))
    batch = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((ROWS, *leaf.shape[1:]), leaf.dtype), workload.eval_data
    )
    averages = workload.statistics.initial if workload.statistics else ()
    evaluate = lambda params, batch: workload.evaluate(workload.fitted(params, averages), batch)
    traced = jax.make_jaxpr(evaluate)(params, batch)
    leaves, structure = jax.tree.flatten(params)
    weights = [Seen(False, (Along(i, _own_axes(leaf.ndim)),)) for i, leaf in enumerate(leaves)]
    uses = Uses()
    follow(traced.jaxpr, [*weights, *(Seen(True) for _ in jax.tree.leaves(batch))], uses)
    found = [
        tuple(frozenset(uses.get((i, axis), ())) for axis in range(x.ndim)) for i, x in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, found)


def _own_axes(ndim: int) -> tuple[frozenset[int], ...]:
    return tuple(frozenset([axis]) for axis in range(ndim))


def follow(jaxpr: Jaxpr, inputs: Sequence[Seen], uses: Uses) -> list[Seen]:
    """What is known of a program's results; notes how it uses the parameters."""
    known: dict[Var, Seen] = dict(zip(jaxpr.invars, inputs, strict=True))
    read = lambda atom: Seen(False) if isinstance(atom, Literal) else known.get(atom, Seen(False))
    for equation in jaxpr.eqns:
        sees = [read(atom) for atom in equation.invars]
        inner = _inner(equation, sees, uses)
        if inner is None:
            inner = _outer(equation, sees, uses, jaxpr)
        known.update(zip(equation.outvars, inner, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _inner(equation: Any, sees: list[Seen], uses: Uses) -> list[Seen] | None:
    """The same of an operation that has a program of its own; None where it has none."""
    programs = [
        program.jaxpr if isinstance(program, ClosedJaxpr) else program
        for value in equation.params.values()
        for program in (value if isinstance(value, tuple) else (value,))
        if isinstance(program, ClosedJaxpr | Jaxpr)
    ]
    if equation.primitive.name == "scan":
        return _scan(equation, programs[0], sees, uses)
    if equation.primitive.name == "cond":
        sees = sees[1:]
    fitting = [program for program in programs if len(program.invars) == len(sees)]
    if not fitting or equation.primitive.name == "while":
        return None
    return [
        Seen(any(one.fed for one in seen), seen[0].made_of)
        for seen in zip(*(follow(program, sees, uses) for program in fitting), strict=True)
    ]


def _scan(equation: Any, body: Jaxpr, sees: list[Seen], uses: Uses) -> list[Seen]:
    """Of a loop over layers or time: what is scanned loses its first axis, and what is carried is fed."""
    consts, carried = equation.params["num_consts"], equation.params["num_carry"]
    fed = any(one.fed for one in sees)
    rows = [
        Seen(one.fed, tuple(along._replace(axes=along.axes[1:]) for along in one.made_of))
        for one in sees[consts + carried :]
    ]
    carry = [Seen(fed)] * carried
    out = follow(body, [*sees[:consts], *carry, *rows], uses)
    return [*carry, *(Seen(one.fed) for one in out[carried:])]


def _outer(equation: Any, sees: list[Seen], uses: Uses, jaxpr: Jaxpr) -> list[Seen]:
    """Of one operation: it moves axes of a weight, or brings it together with the data."""
    name, fed = equation.primitive.name, any(one.fed for one in sees)
    weights = [(place, along) for place, one in enumerate(sees) if not one.fed for along in one.made_of]
    if fed:
        for place, along in weights:
            summed, kept = _axes_with_data(equation, place, jaxpr)
            uses.note(along, summed, SUMMED)
            uses.note(along, kept, KEPT)
        return [Seen(True)] * len(equation.outvars)
    moved = [_moved(equation, place, along) for place, along in weights] if name != "dot_general" else []
    return [Seen(False, tuple(along for along in moved if along is not None))] * len(equation.outvars)


def _axes_with_data(equation: Any, place: int, jaxpr: Jaxpr) -> tuple[list[int], list[int]]:
    """Which axes of the operand at `place`, a weight, are summed over and which kept, where data come in."""
    name, params, shape = equation.primitive.name, equation.params, equation.invars[place].aval.shape
    if name == "dot_general":
        summed, shared = params["dimension_numbers"][0][place], params["dimension_numbers"][1][place]
        return list(summed), [axis for axis in range(len(shape)) if axis not in (*summed, *shared)]
    if name == "conv_general_dilated":
        outputs, inputs = params["dimension_numbers"].rhs_spec[:2]
        return [inputs], [outputs]
    if name == "gather":
        numbers = params["dimension_numbers"]
        looked_up = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
        return [], [axis for axis in range(len(shape)) if axis not in looked_up]
    if equation.outvars[0].aval.ndim != len(shape):
        return [], []
    summed = _summed_at_once(equation, jaxpr) if name == "mul" else []
    return summed, [axis for axis in range(len(shape)) if axis not in summed]


def _summed_at_once(equation: Any, jaxpr: Jaxpr) -> list[int]:
    """Axes of a product that nothing sees but sums over them: (h * v).sum(-1) is h @ v."""
    (product,) = equation.outvars
    readers = [other for other in jaxpr.eqns if product in other.invars]
    if (
        product in jaxpr.outvars
        or not readers
        or any(other.primitive.name != "reduce_sum" for other in readers)
    ):
        return []
    return list(set.intersection(*(set(other.params["axes"]) for other in readers)))


def _moved(equation: Any, place: int, along: Along) -> Along | None:
    """Where the axes of a weight lie after an operation without data; None where that is not known."""
    before, after = equation.invars[place].aval.shape, equation.outvars[0].aval.shape
    move = MOVES.get(equation.primitive.name)
    if move is not None:
        return along._replace(axes=move(equation.params, along.axes, before, after))
    if len(before) == len(after):  # elementwise, a slice, a padding
        return along
    return None


Axes = tuple[frozenset[int], ...]
Shape = tuple[int, ...]


def _transpose(params: dict, axes: Axes, before: Shape, after: Shape) -> Axes:
    return tuple(axes[axis] for axis in params["permutation"])


def _broadcast(params: dict, axes: Axes, before: Shape, after: Shape) -> Axes:
    places = {to: axes[axis] for axis, to in enumerate(params["broadcast_dimensions"])}
    return tuple(places.get(axis, frozenset()) for axis in range(len(after)))


def _squeeze(params: dict, axes: Axes, before: Shape, after: Shape) -> Axes:
    return tuple(own for axis, own in enumerate(axes) if axis not in params["dimensions"])


def _reshape(params: dict, axes: Axes, before: Shape, after: Shape) -> Axes:
    """An axis of the result has those of the first that share a block of it: both are cut where sizes so far agree."""
    ends = [list(itertools.accumulate(shape, initial=1, func=operator.mul)) for shape in (before, after)]
    cuts = sorted(set(ends[0]) & set(ends[1]))
    block = lambda end: sum(cut < end for cut in cuts)
    owners: dict[int, frozenset[int]] = {}
    for axis, size in enumerate(before):
        if size != 1:
            owners[block(ends[0][axis + 1])] = owners.get(block(ends[0][axis + 1]), frozenset()) | axes[axis]
    return tuple(
        owners.get(block(ends[1][axis + 1]), frozenset()) if size != 1 else frozenset()
        for axis, size in enumerate(after)
    )


MOVES: dict[str, Callable[[dict, Axes, Shape, Shape], Axes]] = {
    "transpose": _transpose,
    "broadcast_in_dim": _broadcast,
    "squeeze": _squeeze,
    "reshape": _reshape,
}
