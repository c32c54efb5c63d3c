"""The maximal update parameterization (muP): settings tuned on a narrow network carry over to a wide one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

import optim
from hparam.mup.fan_growth import Fans, FansRule, checked_fans, default_fans, shapes
from hparam.mup.initial_std import initial_stds, std_ratios
from lr_batch import Workload, as_optimizer
from optim.arguments import explain_arguments
from optim.hidden import input_axes, is_hidden_matrix, path_name
from optim.muon import SCALES

PyTree = Any
KINDS = ("sgd", "adam", "muon")


class Factors(NamedTuple):
    """What muP does to one parameter: scale of its initial values, multiplier wherever the
    network uses it, and factors of its updates under SGD, under Adam and under the ready `muon`."""

    init_scale: float
    multiplier: float
    sgd: float
    adam: float
    muon: float


class Mup(NamedTuple):
    """muP of one network, relative to a narrower one. At the base width all factors are 1.

    Attributes:
      target: the wide workload in the standard parameterization.
      fans: `Fans` of each parameter.
      factors: `Factors` of each parameter.
    """

    target: Workload
    fans: PyTree
    factors: PyTree

    def tree(self, field: str) -> PyTree:
        """One field of the factors, as floats in the structure of the parameters."""
        return jax.tree.map(lambda factors: getattr(factors, field), self.factors, is_leaf=_is_factors)

    def workload(self) -> Workload:
        """The wide workload with the initial values and multipliers of muP."""
        target, used = self.target, functools.partial(_times, self.tree("multiplier"))
        init_scale, statistics = self.tree("init_scale"), target.statistics
        multiplied = lambda at: at._replace(params=used(at.params)) if statistics else used(at)
        moved = statistics and statistics._replace(
            train=lambda params, *rest: statistics.train(used(params), *rest)
        )
        return target._replace(
            init=lambda key: _times(init_scale, target.init(key)),
            loss=lambda params, batch, key: target.loss(used(params), batch, key),
            evaluate=lambda at, batch: target.evaluate(multiplied(at), batch),
            statistics=moved,
        )

    def optimizer(
        self, optimizer: optim.Optimizer | str | Callable[[Any], Any], kind: str | None = None
    ) -> optim.Optimizer:
        """`optimizer` with its updates scaled; its chain and its state stay as they are.

        Args:
          optimizer: what `lr_batch.as_optimizer` takes.
          kind: "sgd" if steps grow with the gradient, "adam" if each entry is normalized, "muon" if hidden matrices
            are orthogonalized and the rest is Adam's, as by `optim.muon`; None for the optimizer's own `step_kind`.

        Raises:
          ValueError: where the kind is neither given nor known.
        """
        row = as_optimizer(optimizer)
        return _with_scaled_updates(row, self.tree(checked_kind(row, kind)))


def checked_kind(optimizer: optim.Optimizer, kind: str | None = None) -> str:
    """`kind`, or the optimizer's own where that is None; ValueError where muP has no table for it."""
    kind = optimizer.step_kind if kind is None else kind
    if kind not in KINDS:
        known = (row.name for row in optim.OPTIMIZERS.values() if row.step_kind)
        raise ValueError(
            f"mup: step_kind must be one of {', '.join(KINDS)}, got {kind!r} for the optimizer {optimizer.name} "
            f"(known: {', '.join(known)}; for a function of your own set its attribute `step_kind`)"
        )
    return kind


@explain_arguments
def mup(
    base: Workload,
    target: Workload,
    *,
    readout: str = "init",
    depth: float = 1.0,
    depth_exponent: float = 1.0,
    in_branch: Callable[[str, Fans], bool] = lambda path, fans: fans.is_hidden,
    fans: FansRule = default_fans,
) -> Mup:
    """Derives muP (Yang et al., 2022, arXiv 2203.03466, table 3) from a network at two widths.

    With i and o the growth of a parameter's fan-in and fan-out relative to the base (1 for an
    axis that the width does not change):

        parameter                      initial std   SGD rate   Adam rate
        input weights, biases, gains   1             o          1
        hidden weights                 i^(-1/2)      o / i      1 / i
        output weights                 i^(-1)        1 / i      1 / i

    Standard deviations are set from the base's own, whatever law the initializer follows. Nothing
    else may differ between the two but widths. Heads of attention that grow need scores over d and
    not sqrt(d), which is the network's to do (`pydoc_lm(base_width=...)`). The paper advises output
    weights that start at zero, at the base too (`zero_readout`), and queries that do.

    Other optimizers, by the spectral condition |dW| ~ sqrt(fan-out / fan-in) (Yang, Simon & Bernstein,
    2023): steps of Muon, and of Shampoo without grafting, have a spectral norm that does not depend on
    the gradient, hence a factor sqrt(o / i), over the growth of the optimizer's own factor if it has one
    (Muon's "jordan" leaves i^(-1/2) for output weights, and 1 for the others unless it is cut off at 1): kind "muon"
    is so for hidden matrices, and Adam's for all others, as the ready optimizer trains them. Shampoo with the norm of
    Adam's or SGD's step takes their column. LARS and LAMB scale steps by the norm of the weights and
    schedule-free methods move averages inside their state: no table. Weight decay inside the chain is
    scaled with the updates. Adam's eps must stay well below the gradient's entries, which fall like
    1 / width.

    Args:
      base: the network whose settings are to be kept.
      target: the same at another width.
      readout: "init": output weights as in the table; "multiplier": used with a factor 1 / i, their
        initial std 1, SGD rate i, Adam rate 1 (ibid., table 8): the same training, but for eps and
        weight decay.
      depth: layers over the layers at which settings were tuned, where residual branches are scaled
        by depth^(-depth_exponent), which is the network's to do; `base` has the depth of `target`.
      depth_exponent: 1 for CompleteP (Dey et al., 2025, arXiv 2505.01618), 1/2 for depth-muP (Yang et
        al., 2023). Rates within branches take depth^(2 exponent - 1) for SGD and depth^(exponent - 1)
        for Adam.
      in_branch: which parameters those are, by path ("Dense_0/kernel") and fans; default: hidden weights.
      fans: `(path, base shape, target shape) -> growth (fan-in, fan-out)` for layouts where the default
        is wrong: the last axis is the output; of two growing axes the first is the input. A trace of the network
        tells whether it uses its parameters so.

    Raises:
      ValueError: if the two are not one network at two widths, a parameter is used otherwise than its shape says, or
        none maps from the width to a fixed size.

    >>> from lr_batch.workloads import digits_mlp
    >>> wide = mup(digits_mlp(width=64), digits_mlp(width=256))
    >>> wide.tree("adam")["head"]
    {'bias': 1.0, 'kernel': 0.25}
    """
    if readout not in ("init", "multiplier"):
        raise ValueError(f"mup: readout must be init or multiplier, got {readout!r}")
    if not depth > 0:
        raise ValueError(f"mup: depth must be above 0, got {depth!r}")
    growth = checked_fans("mup", base, target, fans)

    def of(path, fan, ratio, narrow, wide):
        width = width_factors(fan, ratio, multiplied=readout == "multiplier")
        if is_hidden_matrix(path_name(path), narrow):
            width = width._replace(muon=muon_factor(path_name(path), fan, narrow, wide) / width.multiplier)
        return deepened(width, depth, depth_exponent) if in_branch(path_name(path), fan) else width

    ratios = std_ratios(growth, initial_stds(base), initial_stds(target))
    is_leaf = lambda node: isinstance(node, Fans)
    grown = (growth, ratios, shapes(base), shapes(target))
    return Mup(target, growth, jax.tree_util.tree_map_with_path(of, *grown, is_leaf=is_leaf))


def width_factors(fans: Fans, std_ratio: float, *, multiplied: bool) -> Factors:
    """The table of `mup` for one parameter whose initial std already grows by `std_ratio`.

    A weight w that is used as m w takes the values w / m, and its gradient is m times that of the product.
    """
    std = 1 / fans.fan_in if fans.is_readout else fans.fan_in**-0.5
    m = 1 / fans.fan_in if fans.is_readout and multiplied else 1.0
    return Factors(
        init_scale=std / std_ratio / m,
        multiplier=m,
        sgd=fans.fan_out / fans.fan_in / m**2,
        adam=1 / fans.fan_in / m,
        muon=1 / fans.fan_in / m,
    )


def muon_factor(path: str, fans: Fans, narrow: jax.ShapeDtypeStruct, wide: jax.ShapeDtypeStruct) -> float:
    """Of Muon's step: the growth of sqrt(fan-out / fan-in), over that of the scale "jordan", which it has itself."""

    def own(leaf: jax.ShapeDtypeStruct) -> float:
        inputs = input_axes(path, leaf)
        return SCALES["jordan"](math.prod(leaf.shape[:inputs]), math.prod(leaf.shape[inputs:]))

    return (fans.fan_out / fans.fan_in) ** 0.5 * own(narrow) / own(wide)


def deepened(factors: Factors, depth: float, exponent: float) -> Factors:
    """Rates within branches scaled by depth^(-exponent): all layers together move the output by O(1)."""
    normalized = depth ** (exponent - 1)
    return factors._replace(
        sgd=factors.sgd * depth ** (2 * exponent - 1),
        adam=factors.adam * normalized,
        muon=factors.muon * normalized,
    )


def scale_updates(tx: optax.GradientTransformation, factors: PyTree) -> optax.GradientTransformationExtraArgs:
    """`tx` with each update multiplied by its factor; the state is that of `tx`."""
    tx = optax.with_extra_args_support(tx)

    def update_fn(updates, state, params=None, **extra):
        updates, state = tx.update(updates, state, params, **extra)
        return _times(factors, updates), state

    return optax.GradientTransformationExtraArgs(tx.init, update_fn)


def _with_scaled_updates(optimizer: optim.Optimizer, factors: PyTree) -> optim.Optimizer:
    return optimizer._replace(
        name=f"{optimizer.name}_mup", make=lambda hparams: scale_updates(optimizer(hparams), factors)
    )


def _times(factors: PyTree, tree: PyTree) -> PyTree:
    return jax.tree.map(lambda factor, leaf: leaf if factor == 1 else factor * leaf, factors, tree)


def _is_factors(node: Any) -> bool:
    return isinstance(node, Factors)
