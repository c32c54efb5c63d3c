"""Which axes of a network's parameters grow with its width, found by comparing shapes at two widths."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from hparam.mup.traced_axes import KEPT, SUMMED, uses_of_axes
from lr_batch import Workload, first_line
from optim.hidden import path_name

PyTree = Any


class Fans(NamedTuple):
    """Growth of a parameter from base to target; 1.0 where the width does not change the fan."""

    fan_in: float
    fan_out: float

    @property
    def is_readout(self) -> bool:
        """Whether it maps from the width to something of fixed size: output weights."""
        return self.fan_in != 1 and self.fan_out == 1

    @property
    def is_hidden(self) -> bool:
        """Whether it maps from width to width: hidden weights."""
        return self.fan_in != 1 and self.fan_out != 1


# What says which axes are whose, where shapes do not.
UNTIE = "untie them from the embedding (tied ones need a factor 1 / width on the output)"
SAY = "say with `fans` (--fans FILE.py:NAME), (path, base shape, target shape) -> growth of (fan-in, fan-out)"
FansRule = Callable[[str, tuple[int, ...], tuple[int, ...]], tuple[float, float]]


def default_fans(path: str, base: tuple[int, ...], target: tuple[int, ...]) -> tuple[float, float]:
    """Growth of fan-in and fan-out of a Flax parameter: kernels are (..., in, out), biases are all output.

    >>> default_fans("Conv_0/kernel", (3, 3, 8, 16), (3, 3, 32, 64))
    (4.0, 4.0)
    """
    sizes = zip(base, target, strict=True)
    grown = [axis for axis, (before, after) in enumerate(sizes) if before != after]
    ratios = [target[axis] / base[axis] for axis in grown]
    if len(grown) > 2:
        raise ValueError(
            f"mup: {len(grown)} axes of {path!r} grow, {base} to {target}; "
            "say with `fans` which are its input"
        )
    if not grown:
        return 1.0, 1.0
    if len(grown) == 2:
        return ratios[0], ratios[1]
    is_output = grown[0] == len(base) - 1 or path.endswith("bias")
    return (1.0, ratios[0]) if is_output else (ratios[0], 1.0)


def fans_of(base: Workload, target: Workload, rule: FansRule) -> PyTree:
    """`Fans` of every parameter, from shapes alone.

    Raises:
      ValueError: if the two are not one network at two widths.
    """
    before, after = shapes(base), shapes(target)
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise ValueError("mup: base and target must have the same parameters and differ in widths only")

    def of(path, narrow, wide):
        name = path_name(path)
        if narrow.ndim != wide.ndim:
            raise ValueError(
                f"mup: {name!r} has shape {narrow.shape} in the base and {wide.shape} in the target"
            )
        return _ruled(rule, name, narrow.shape, wide.shape)

    return jax.tree_util.tree_map_with_path(of, before, after)


def _ruled(rule: FansRule, name: str, narrow: tuple[int, ...], wide: tuple[int, ...]) -> Fans:
    """What the rule says of one parameter; a user's own may raise or return whatever it likes."""
    if rule is default_fans:
        return Fans(*rule(name, narrow, wide))
    owner = getattr(rule, "__name__", "the rule")
    try:
        fans = Fans(*map(float, rule(name, narrow, wide)))
    except Exception as error:
        raise ValueError(f"fans: {owner}({name!r}, {narrow}, {wide}) failed: {first_line(error)}") from error
    if not all(0 < growth < math.inf for growth in fans):
        raise ValueError(f"fans: growth must be above 0 and finite, got {tuple(fans)} for {name!r}")
    return fans


def checked_fans(owner: str, base: Workload, target: Workload, rule: FansRule) -> PyTree:
    """`fans_of`, where the network uses its parameters as their shapes say.

    Whoever gives a `rule` of their own has said what they mean.

    Raises:
      ValueError: names the function `owner`; the two are not one network at two widths, a parameter is summed over
        along an axis that its shape takes for the output, or is input and output at once, or nothing maps from the
        width to a fixed size.
    """
    growth = fans_of(base, target, rule)
    fans = jax.tree.leaves(growth, is_leaf=_is_fans)
    if rule is not default_fans or all(fan == Fans(1.0, 1.0) for fan in fans):
        return growth
    check = functools.partial(_check_axes, owner)
    jax.tree_util.tree_map_with_path(
        check, growth, shapes(base), shapes(target), uses_of_axes(target), is_leaf=_is_fans
    )
    if not any(fan.is_readout for fan in fans):
        raise ValueError(
            f"{owner}: no output weights, of which only the fan-in grows with the width: {UNTIE}, or {SAY}"
        )
    return growth


def _is_fans(node: Any) -> bool:
    return isinstance(node, Fans)


def _check_axes(
    owner: str, path: Any, fans: Fans, base: Any, target: Any, uses: tuple[frozenset[str], ...]
) -> None:
    """Raises ValueError where the network sums over an axis that counts as output, or the other way round."""
    grown = {
        axis: target.shape[axis] / size for axis, size in enumerate(base.shape) if target.shape[axis] != size
    }
    if any(len(uses[axis]) > 1 for axis in grown):
        raise ValueError(
            f"{owner}: along an axis that grows with the width, the network both sums over {path_name(path)!r} and "
            f"keeps it, as if tied: {UNTIE}, or {SAY}"
        )
    if not all(uses[axis] for axis in grown):
        return
    product = lambda use: math.prod(growth for axis, growth in grown.items() if use in uses[axis])
    seen = Fans(product(SUMMED), product(KEPT))
    if seen != fans:
        raise ValueError(
            f"{owner}: the shape of {path_name(path)!r}, {base.shape} and {target.shape}, reads as growth {tuple(fans)} "
            f"of (fan-in, fan-out), and the network uses it as {tuple(seen)}: {SAY}, here {tuple(seen)}"
        )


def shapes(workload: Workload) -> PyTree:
    """Of the parameters; nothing is computed."""
    return jax.eval_shape(workload.init, jax.eval_shape(lambda: jax.random.key(0)))
