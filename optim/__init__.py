"""Gradient transformations that compose in `optax.chain`, and ready optimizers by name."""

from optim.from_optax import adam, adamw, lion, momentum, nadam, nesterov, sgd
from optim.keep_dtypes import keep_dtypes
from optim.masks import matrices
from optim.range import Range
from optim.registry import OPTIMIZERS, Optimizer

__all__ = [
    "OPTIMIZERS",
    "Optimizer",
    "Range",
    "adam",
    "adamw",
    "keep_dtypes",
    "lion",
    "matrices",
    "momentum",
    "nadam",
    "nesterov",
    "sgd",
]
