"""All regularizers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from optim.arguments import check_mapping
from optim.hyperparameters import hyperparameters
from optim.names import FrozenMapping, Registry, unknown
from optim.range import NON_NEGATIVE, Range
from optim.registry import trained_params
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

UNNAMED = ("strength", "rate", "bound", "size", "decay")
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
    eval_params: Callable[[Any, Any], Any] = trained_params
    stop: Callable[[Mapping[str, Scalar]], EarlyStopping] | None = None
    needs_classes: bool = False

    def __call__(self, hparams: Mapping[str, Scalar]) -> Applied:
        return self.make(hparams)


class Make(NamedTuple):
    """`hparams -> Applied` of a row: a value, so that rows can be pickled, copied and compared.

    `arguments` gives the factory's name of each public hyperparameter.
    """

    name: str
    factory: Callable
    hparams: Mapping[str, Range]
    arguments: Mapping[str, str]

    def __call__(self, values: Mapping[str, Scalar]) -> Applied:
        made = self.factory(**self.given(values))
        return made if isinstance(made, Applied) else Applied()  # a stopping rule acts on evaluations alone

    def given(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Arguments of the factory: defaults and given values, each checked under its public name."""
        check_mapping(self.name, values)
        own = {key: value for key, value in values.items() if key != RATE}
        for key, value in own.items():
            if key not in self.hparams:
                raise ValueError(f"{self.name}: {unknown('hyperparameter', key, self.hparams)}")
            self.hparams[key].check(self.name, key, value)
        if RATE in self.factory.hyperparameters and RATE not in values:
            raise ValueError(f"{self.name}: needs the learning rate too, as {RATE!r}")
        full = {key: valid.default for key, valid in self.hparams.items()} | own
        rate = {RATE: values[RATE]} if RATE in self.factory.hyperparameters else {}
        return {self.arguments[key]: value for key, value in full.items()} | rate


class Stop(NamedTuple):
    """`hparams -> EarlyStopping` of a row."""

    make: Make

    def __call__(self, values: Mapping[str, Scalar]) -> EarlyStopping:
        return self.make.factory(**self.make.given(values))


def row(
    factory: Callable, strengths: tuple[float, ...], paper: str, *, off: float = 0.0, **fields
) -> Regularizer:
    """Row of a factory; its first hyperparameter is the strength.

    A strength whose parameter is named by its kind alone ("strength", "rate", "bound") takes the factory's name in
    public.
    """
    name = factory.__name__
    own = {key: valid for key, valid in factory.hyperparameters.items() if key != RATE}
    first = next(iter(own))
    own[first] = own[first]._replace(default=off)
    strength = name if first in UNNAMED else first
    arguments = FrozenMapping({strength if key == first else key: key for key in own})
    hparams = FrozenMapping({public: own[key] for public, key in arguments.items()})
    make = Make(name, factory, hparams, arguments)
    space = FrozenMapping({strength: fields.pop("space", (off, *strengths))})
    return Regularizer(name, make, hparams, strength, off, space, paper, **fields)


@hyperparameters(rho=NON_NEGATIVE)
def sam(rho: Scalar) -> Applied:
    """The gradient at theta + rho g / |g|, before any optimizer (Foret et al., 2021, equations 2 and 3).

    Args:
      rho: radius, in the units of the weights, in [0, inf); 0 is off.
    """
    return Applied(before=sharpness_aware(rho))


def _stopping_row() -> Regularizer:
    patience = (8.0, 4.0, 2.0)
    stopping = row(early_stopping, patience, "Prechelt, 1998", off=NEVER)
    return stopping._replace(stop=Stop(stopping.make))


SMALL = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
SHARES = (0.1, 0.2, 0.3, 0.5, 0.7)
RADII = (1e3, 1e2, 30.0, 10.0, 3.0)
UNBOUNDED = projection.UNBOUNDED

ROWS = (
    row(l2, SMALL, "Krogh & Hertz, 1992"),
    row(weight_decay, (1e-4, 1e-3, 1e-2, 0.1, 1.0), "Loshchilov & Hutter, 2019"),
    row(proximal.l1, SMALL, "Tibshirani, 1996"),
    row(
        proximal.elastic_net,
        SMALL,
        "Zou & Hastie, 2005",
    ),
    row(proximal.group_lasso, SMALL, "Yuan & Lin, 2006"),
    row(spectral_norm, (1e-4, 1e-3, 1e-2, 0.1), "Yoshida & Miyato, 2017"),
    row(projection.max_norm, (4.0, 3.0, 2.0, 1.0), "Srebro & Shraibman, 2005", off=UNBOUNDED),
    row(projection.l2_ball, RADII, "Ivanov, 1962", off=UNBOUNDED),
    row(projection.l1_ball, RADII, "Tibshirani, 1996", off=UNBOUNDED),
    row(dropout, SHARES, "Srivastava et al., 2014"),
    row(drop_connect, SHARES, "Wan et al., 2013"),
    row(stochastic_depth, SHARES, "Huang et al., 2016"),
    row(
        label_losses.label_smoothing,
        (0.05, 0.1, 0.2, 0.3),
        "Szegedy et al., 2016",
        needs_classes=True,
    ),
    row(
        label_losses.confidence_penalty,
        (0.05, 0.1, 0.3, 1.0),
        "Pereyra et al., 2017",
        needs_classes=True,
    ),
    row(label_losses.focal, (0.5, 1.0, 2.0, 5.0), "Lin et al., 2017", needs_classes=True),
    row(mixup, (0.1, 0.2, 0.4, 1.0), "Zhang et al., 2018"),
    row(augmentation.cutout, (2.0, 3.0, 4.0, 6.0), "DeVries & Taylor, 2017"),
    row(augmentation.random_crop, (1.0, 2.0, 3.0), "He et al., 2016"),
    row(augmentation.random_flip, (0.25, 0.5), "He et al., 2016"),
    row(
        gradient_noise.gradient_noise,
        (1e-4, 1e-3, 1e-2, 0.1),
        "Neelakantan et al., 2015",
    ),
    row(
        gradient_noise.clip_norm,
        (10.0, 3.0, 1.0, 0.3),
        "Pascanu et al., 2013",
        off=UNBOUNDED,
    ),
    _stopping_row(),
    row(
        averaging.ema,
        (0.9, 0.99, 0.999),
        "Tarvainen & Valpola, 2017",
        eval_params=averaging.ema_params,
    ),
    row(
        averaging.swa,
        (500.0, 200.0, 50.0),
        "Izmailov et al., 2018",
        off=NEVER,
        eval_params=averaging.swa_params,
    ),
    row(
        pruning,
        (0.5, 0.8, 0.9, 0.95),
        "Zhu & Gupta, 2017",
    ),
    row(sam, (0.01, 0.02, 0.05, 0.1), "Foret et al., 2021, arXiv 2010.01412"),
)

REGULARIZERS: Mapping[str, Regularizer] = Registry(
    "regularizer", {regularizer.name: regularizer for regularizer in ROWS}
)
