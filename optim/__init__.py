"""Gradient transformations that compose in `optax.chain`, and ready optimizers by name."""

from optim.adagrad import adagrad, scale_by_adagrad
from optim.from_optax import adam, adamw, lion, momentum, nadam, nesterov, sgd
from optim.keep_dtypes import keep_dtypes
from optim.lamb import lamb, scale_by_weight_norm
from optim.lars import lars, scale_by_lars
from optim.lbfgs import lbfgs
from optim.masks import matrices
from optim.memory import StateBytes, state_bytes
from optim.muon import is_hidden_matrix, muon, orthogonalize, scale_by_muon
from optim.range import Range
from optim.registry import OPTIMIZERS, Optimizer
from optim.rmsprop import rmsprop
from optim.sam import sam, sharpness_aware
from optim.schedule_free import averaged_params, schedule_free, schedule_free_adamw, schedule_free_sgd
from optim.shampoo import scale_by_shampoo, shampoo
from optim.soap import scale_by_soap, soap

__all__ = [
    "OPTIMIZERS",
    "Optimizer",
    "Range",
    "StateBytes",
    "adagrad",
    "adam",
    "adamw",
    "averaged_params",
    "is_hidden_matrix",
    "keep_dtypes",
    "lamb",
    "lars",
    "lbfgs",
    "lion",
    "matrices",
    "momentum",
    "muon",
    "nadam",
    "nesterov",
    "orthogonalize",
    "rmsprop",
    "sam",
    "scale_by_adagrad",
    "scale_by_lars",
    "scale_by_muon",
    "scale_by_shampoo",
    "scale_by_soap",
    "scale_by_weight_norm",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "sgd",
    "shampoo",
    "sharpness_aware",
    "soap",
    "state_bytes",
]
