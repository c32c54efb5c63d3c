"""All regularizers by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from optim.names import Registry, unknown
from optim.range import Range
from optim.sam import sharpness_aware
from reg import augmentation, averaging, gradient_noise, label_losses, projection, proximal
from reg.applied import Applied, Scalar
from reg.drop_connect import drop_connect
from reg.dropout import dropout
from reg.early_stopping import NEVER, EarlyStopping, early_stopping
from reg.l2 import l2
from reg.mixup import mixup
from reg.pruning import pruning
from reg.spectral_norm import spectral_norm
from reg.stochastic_depth import stochastic_depth
from reg.weight_decay import weight_decay

RATE = "learning_rate"  # of the optimizer, which proximal steps and decoupled decay use too


class Regularizer(NamedTuple):
    """One row of the registry; calling it builds the parts.

    Attributes:
      name: how the command line and the figures call it.
      make: `hparams -> Applied`; an unknown name or a value out of its range is refused. Values may be
        traced. The learning rate may be among them, and must be where the method uses it.
      hparams: valid range and default of every hyperparameter.
      strength: the hyperparameter that says how much.
      off: its value at which nothing is regularized: the numbers are those of the same lanes without, bit for
        bit.
      space: default strengths of a sweep, `off` among them.
      paper: where the method comes from.
      eval_params: `(RegularizedState, params) -> params` to evaluate at.
      stop: `hparams -> EarlyStopping`, for a rule that ends training.
      needs_classes: whether the loss must be a cross entropy of class labels.
    """

    name: str
    make: Callable[[Mapping[str, Scalar]], Applied]
    hparams: Mapping[str, Range]
    strength: str
    off: float
    space: Mapping[str, tuple[float, ...]]
    paper: str
    eval_params: Callable[[Any, Any], Any] = lambda state, params: params
    stop: Callable[[Mapping[str, Scalar]], EarlyStopping] | None = None
    needs_classes: bool = False

    def __call__(self, hparams: Mapping[str, Scalar]) -> Applied:
        return self.make(hparams)


NON_NEGATIVE = Range(low=0.0)
PROBABILITY = Range(0.0, 0.0, 1.0, high_open=True)
BOUND = Range(low=0.0, low_open=True)


def row(
    factory: Callable, strengths: tuple[float, ...], paper: str, *, off: float = 0.0, **fields
) -> Regularizer:
    """Row of a factory: keywords that are a `Range` are its hyperparameters, the first one the strength."""
    name = factory.__name__
    ranges = {key: fields.pop(key) for key in list(fields) if isinstance(fields[key], Range)}
    strength = next(iter(ranges))
    ranges[strength] = ranges[strength]._replace(default=off)
    takes_rate = RATE in inspect.signature(factory).parameters

    def make(values: Mapping[str, Scalar]) -> Applied:
        given = arguments(name, ranges, values)
        return factory(**given, **({RATE: values[RATE]} if takes_rate else {}))

    space = MappingProxyType({strength: (off, *strengths)})
    return Regularizer(name, make, MappingProxyType(ranges), strength, off, space, paper, **fields)


def arguments(name: str, ranges: Mapping[str, Range], values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Defaults and given values, each checked, without the learning rate."""
    own = {key: value for key, value in values.items() if key != RATE}
    for key, value in own.items():
        if key not in ranges:
            raise ValueError(f"{name}: {unknown('hyperparameter', key, ranges)}")
        ranges[key].check(name, key, value)
    return {key: valid.default for key, valid in ranges.items()} | own


def sam(rho: Scalar) -> Applied:
    """The gradient at theta + rho g / |g|, before any optimizer (Foret et al., 2021)."""
    # Unwrapped, because the optimizer's own range leaves out the rho = 0 that is off here.
    return Applied(before=sharpness_aware.__wrapped__(rho))


def _stopping_row() -> Regularizer:
    ranges = {
        "patience": Range(NEVER, low=1.0),
        "min_improvement": Range(0.0, low=0.0),
    }

    def make(values: Mapping[str, Scalar]) -> Applied:
        arguments("early_stopping", ranges, values)  # refuses what is wrong
        return Applied()  # the rule acts on evaluations alone

    return Regularizer(
        "early_stopping",
        make,
        MappingProxyType(ranges),
        "patience",
        NEVER,
        MappingProxyType({"patience": (NEVER, 8.0, 4.0, 2.0)}),
        "Prechelt, 1998",
        stop=lambda values: early_stopping(**arguments("early_stopping", ranges, values)),
    )


SMALL = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
SHARES = (0.1, 0.2, 0.3, 0.5, 0.7)
RADII = (1e3, 1e2, 30.0, 10.0, 3.0)
UNBOUNDED = projection.UNBOUNDED

ROWS = (
    row(l2, SMALL, "Krogh & Hertz, 1992", l2=NON_NEGATIVE),
    row(weight_decay, (1e-4, 1e-3, 1e-2, 0.1, 1.0), "Loshchilov & Hutter, 2019", weight_decay=NON_NEGATIVE),
    row(proximal.l1, SMALL, "Tibshirani, 1996", l1=NON_NEGATIVE),
    row(
        proximal.elastic_net,
        SMALL,
        "Zou & Hastie, 2005",
        elastic_net=NON_NEGATIVE,
        l1_ratio=Range(0.5, 0.0, 1.0),
    ),
    row(proximal.group_lasso, SMALL, "Yuan & Lin, 2006", group_lasso=NON_NEGATIVE),
    row(spectral_norm, (1e-4, 1e-3, 1e-2, 0.1), "Yoshida & Miyato, 2017", spectral_norm=NON_NEGATIVE),
    row(projection.max_norm, (4.0, 3.0, 2.0, 1.0), "Srebro & Shraibman, 2005", off=UNBOUNDED, max_norm=BOUND),
    row(projection.l2_ball, RADII, "Ivanov, 1962", off=UNBOUNDED, l2_ball=BOUND),
    row(projection.l1_ball, RADII, "Tibshirani, 1996", off=UNBOUNDED, l1_ball=BOUND),
    row(dropout, SHARES, "Srivastava et al., 2014", dropout=PROBABILITY),
    row(drop_connect, SHARES, "Wan et al., 2013", drop_connect=PROBABILITY),
    row(stochastic_depth, SHARES, "Huang et al., 2016", stochastic_depth=PROBABILITY),
    row(
        label_losses.label_smoothing,
        (0.05, 0.1, 0.2, 0.3),
        "Szegedy et al., 2016",
        label_smoothing=PROBABILITY,
        needs_classes=True,
    ),
    row(
        label_losses.confidence_penalty,
        (0.05, 0.1, 0.3, 1.0),
        "Pereyra et al., 2017",
        confidence_penalty=NON_NEGATIVE,
        needs_classes=True,
    ),
    row(label_losses.focal, (0.5, 1.0, 2.0, 5.0), "Lin et al., 2017", focal=NON_NEGATIVE, needs_classes=True),
    row(mixup, (0.1, 0.2, 0.4, 1.0), "Zhang et al., 2018", mixup=NON_NEGATIVE),
    row(augmentation.cutout, (2.0, 3.0, 4.0, 6.0), "DeVries & Taylor, 2017", cutout=NON_NEGATIVE),
    row(augmentation.random_crop, (1.0, 2.0, 3.0), "He et al., 2016", random_crop=NON_NEGATIVE),
    row(augmentation.random_flip, (0.25, 0.5), "He et al., 2016", random_flip=Range(low=0.0, high=1.0)),
    row(
        gradient_noise.gradient_noise,
        (1e-4, 1e-3, 1e-2, 0.1),
        "Neelakantan et al., 2015",
        gradient_noise=NON_NEGATIVE,
    ),
    row(
        gradient_noise.clip_norm,
        (10.0, 3.0, 1.0, 0.3),
        "Pascanu et al., 2013",
        off=UNBOUNDED,
        clip_norm=BOUND,
    ),
    _stopping_row(),
    row(
        averaging.ema,
        (0.9, 0.99, 0.999),
        "Tarvainen & Valpola, 2017",
        ema=PROBABILITY,
        eval_params=averaging.ema_params,
    ),
    row(
        averaging.swa,
        (500.0, 200.0, 50.0),
        "Izmailov et al., 2018",
        off=NEVER,
        swa_start=NON_NEGATIVE,
        swa_every=Range(10.0, low=1.0),
        eval_params=averaging.swa_params,
    ),
    row(
        pruning,
        (0.5, 0.8, 0.9, 0.95),
        "Zhu & Gupta, 2017",
        sparsity=PROBABILITY,
        prune_steps=Range(1000.0, low=1.0),
    ),
    row(sam, (0.01, 0.02, 0.05, 0.1), "Foret et al., 2021, arXiv 2010.01412", rho=NON_NEGATIVE),
)

REGULARIZERS: Mapping[str, Regularizer] = Registry(
    "regularizer", {regularizer.name: regularizer for regularizer in ROWS}
)
