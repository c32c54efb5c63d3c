"""All optimizers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import optax

from optim.adagrad import adagrad
from optim.adam import adam, adamw, nadam
from optim.arguments import check_mapping
from optim.lamb import lamb
from optim.lars import lars
from optim.lbfgs import lbfgs
from optim.lion import lion
from optim.muon import muon
from optim.names import FrozenMapping, Registry, unknown
from optim.range import Range, Scalar
from optim.rmsprop import rmsprop
from optim.sam import sam
from optim.schedule_free import averaged_params, schedule_free_adamw, schedule_free_sgd
from optim.sgd import momentum, nesterov, sgd
from optim.shampoo import shampoo
from optim.soap import soap

NUM_RATES = 16  # points of the default grid of learning rates


def trained_params(opt_state: Any, params: Any) -> Any:
    """The parameters that are trained: what is evaluated under most methods."""
    del opt_state
    return params


class Optimizer(NamedTuple):
    """One row of the registry; calling it builds the transformation.

    Attributes:
      name: how the command line and the figures call it.
      make: `hparams -> transformation`; hyperparameters left out take their default, and
        an unknown one is refused. Values may be traced.
      hparams: valid range and default of every hyperparameter.
      space: default search space; a study trains the product of its values.
      paper: where the method comes from.
      eval_params: `(opt_state, params) -> params` to evaluate at. The identity except
        for methods that average their iterates.
      step_kind: how a step depends on the size of the gradient, from which muP derives its rates: "sgd" if it
        grows with the gradient, "adam" if each entry is normalized, "muon" if hidden matrices are orthogonalized and the
        rest is Adam's; None where muP has no table.
      further: whether it takes hyperparameters beside those of `hparams`, as a user's function may.

    >>> OPTIMIZERS["adam"]({"learning_rate": 1e-3, "beta2": 0.9})
    Traceback (most recent call last):
    ValueError: adam: unknown hyperparameter 'beta2'; did you mean 'b2'? (known: b1, b2, eps, learning_rate)
    """

    name: str
    make: Callable[[Mapping[str, Scalar]], optax.GradientTransformation]
    hparams: Mapping[str, Range]
    space: Mapping[str, tuple[float, ...]]
    paper: str
    eval_params: Callable[[Any, Any], Any] = trained_params
    step_kind: str | None = None
    further: bool = False

    def __call__(self, hparams: Mapping[str, Any]) -> optax.GradientTransformation:
        return self.make(hparams)


class Make(NamedTuple):
    """`hparams -> transformation` of a row: a value, so that rows can be pickled, copied and compared."""

    factory: Callable[..., optax.GradientTransformation]
    hparams: Mapping[str, Range]

    def __call__(self, values: Mapping[str, Scalar | optax.Schedule]) -> optax.GradientTransformation:
        check_mapping(self.factory.__name__, values)
        for given in values:
            if given not in self.hparams:
                raise ValueError(f"{self.factory.__name__}: {unknown('hyperparameter', given, self.hparams)}")
        return self.factory(**{"learning_rate": self.hparams["learning_rate"].default, **values})


def row(factory: Callable, low: float, high: float, paper: str, **fields) -> Optimizer:
    """Row of a factory, with `NUM_RATES` learning rates from `low` to `high`, evenly in the logarithm.

    The default learning rate, for factories that ask for one, is the middle of that grid.
    """
    rates = tuple(np.geomspace(low, high, NUM_RATES).tolist())
    rate = factory.hyperparameters["learning_rate"]._replace(default=rates[NUM_RATES // 2])
    hparams = FrozenMapping({**factory.hyperparameters, "learning_rate": rate})
    space = FrozenMapping({"learning_rate": rates, **fields.pop("space", {})})
    return Optimizer(factory.__name__, Make(factory, hparams), hparams, space, paper, **fields)


ROAD_LESS_SCHEDULED = "Defazio et al., 2024, arXiv 2405.15682"

# Rates for small networks: on the digits at batch size 64 the best of every grid lies inside it, and the
# lower half is there for smaller batches. LARS: see its docstring for why the coefficient is not 0.001 here.
ROWS = (
    row(sgd, 1e-3, 4.0, "Robbins & Monro, 1951", step_kind="sgd"),
    row(momentum, 5e-4, 2.0, "Polyak, 1964", step_kind="sgd"),
    row(nesterov, 5e-4, 2.0, "Nesterov, 1983; Sutskever et al., 2013", step_kind="sgd"),
    row(adagrad, 1e-3, 1.0, "Duchi et al., 2011", step_kind="adam"),
    row(rmsprop, 3e-5, 0.3, "Tieleman & Hinton, 2012", step_kind="adam"),
    row(adam, 1e-4, 0.4, "Kingma & Ba, 2015, arXiv 1412.6980", step_kind="adam"),
    row(adamw, 1e-4, 0.4, "Loshchilov & Hutter, 2019, arXiv 1711.05101", step_kind="adam"),
    row(nadam, 1e-4, 0.4, "Dozat, 2016", step_kind="adam"),
    row(lion, 3e-5, 0.1, "Chen et al., 2023, arXiv 2302.06675", step_kind="adam"),
    row(lars, 1e-2, 10.0, "You et al., 2017, arXiv 1708.03888", space={"trust_coefficient": (0.02,)}),
    row(lamb, 1e-4, 0.4, "You et al., 2020, arXiv 1904.00962"),
    row(lbfgs, 1e-3, 1.0, "Liu & Nocedal, 1989"),
    row(shampoo, 1e-4, 0.4, "Gupta et al., 2018, arXiv 1802.09568"),
    row(soap, 1e-4, 0.4, "Vyas et al., 2024, arXiv 2409.11321"),
    row(muon, 3e-3, 3.0, "Jordan et al., 2024", step_kind="muon"),
    row(schedule_free_sgd, 1e-2, 10.0, ROAD_LESS_SCHEDULED, eval_params=averaged_params),
    row(schedule_free_adamw, 1e-4, 0.4, ROAD_LESS_SCHEDULED, eval_params=averaged_params),
    row(sam, 5e-4, 2.0, "Foret et al., 2021, arXiv 2010.01412"),
)

OPTIMIZERS: Mapping[str, Optimizer] = Registry("optimizer", {optimizer.name: optimizer for optimizer in ROWS})
