"""The products of matrices in a function, counted in its jaxpr: nothing is compiled or run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from lr_batch.engine.live_bytes import used_equations


class Product(NamedTuple):
    """One `lax.dot_general`, or what amounts to it: shapes, dimension numbers, and how often it is done."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    dimensions: tuple
    count: int

    @property
    def flops(self) -> int:
        """Of one of them: a multiplication and an addition for each term of each output."""
        (_, contracted), (_, batched) = self.dimensions
        right_only = [size for axis, size in enumerate(self.right) if axis not in (*contracted, *batched)]
        return 2 * math.prod(self.left) * math.prod(right_only)


def products(function: Callable, *args: Any) -> list[Product]:
    """Those that `function(*args)` does, also inside of loops of known length and of functions that it calls; a
    convolution as the product of its patches."""
    return list(_walk(jax.make_jaxpr(function)(*args).jaxpr, 1))


def _walk(jaxpr: Jaxpr, times: int) -> Iterator[Product]:
    for equation in used_equations(jaxpr):
        if equation.primitive.name == "dot_general":
            left, right = (operand.aval.shape for operand in equation.invars)
            yield Product(left, right, equation.params["dimension_numbers"], times)
        if equation.primitive.name == "conv_general_dilated":
            yield product_of_patches(equation, times)
        inner_times = times * equation.params.get("length", 1) if equation.primitive.name == "scan" else times
        for value in jax.tree.leaves(dict(equation.params), is_leaf=_is_jaxpr):
            if _is_jaxpr(value):
                yield from _walk(getattr(value, "jaxpr", value), inner_times)


def product_of_patches(convolution: Any, times: int) -> Product:
    """`[positions, values of a patch] x [values of a patch, filters]`, group by group."""
    numbers = convolution.params["dimension_numbers"]
    kernel, output = convolution.invars[1].aval.shape, convolution.outvars[0].aval.shape
    filters = kernel[numbers.rhs_spec[0]]
    groups = convolution.params["feature_group_count"] * convolution.params["batch_group_count"]
    positions, values = math.prod(output) // filters, math.prod(kernel) // filters
    return Product((positions, values), (values, filters // groups), (((1,), (0,)), ((), ())), times * groups)


def _is_jaxpr(value: Any) -> bool:
    return isinstance(value, ClosedJaxpr | Jaxpr)
