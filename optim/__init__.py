"""Gradient transformations that compose in `optax.chain`, and ready optimizers by name."""

from optim.adagrad import adagrad, scale_by_adagrad
from optim.adam import adam, adamw, nadam
from optim.adam_variants import scale_by_amsgrad, scale_by_warmed_nadam
from optim.hidden import is_hidden_matrix
from optim.hyperparameters import hyperparameters
from optim.keep_dtypes import keep_dtypes
from optim.lamb import lamb, scale_by_weight_norm
from optim.lars import lars, scale_by_lars
from optim.lbfgs import lbfgs
from optim.lion import lion
from optim.masks import matrices
from optim.memory import StateBytes, state_bytes
from optim.muon import muon, scale_by_muon
from optim.newton_schulz import orthogonalize
from optim.range import Range
from optim.registry import OPTIMIZERS, Optimizer
from optim.rmsprop import rmsprop
from optim.sam import sam, sharpness_aware
from optim.schedule_free import (
    averaged_params,
    eval_params,
    schedule_free,
    schedule_free_adamw,
    schedule_free_sgd,
)
from optim.sgd import momentum, nesterov, sgd
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
    "eval_params",
    "hyperparameters",
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
    "scale_by_amsgrad",
    "scale_by_lars",
    "scale_by_muon",
    "scale_by_shampoo",
    "scale_by_soap",
    "scale_by_warmed_nadam",
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
