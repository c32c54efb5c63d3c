"""What makes a solution simpler: pure parts around a loss, an optimizer or a stopping rule, by name."""

from reg.applied import Applied, LossFn, RegularizedState, regularized
from reg.classes import check_cross_entropy, class_losses, num_classes
from reg.early_stopping import EarlyStopping, EarlyStoppingState, early_stopping
from reg.masks import matching, weights
from reg.registry import REGULARIZERS, Regularizer

__all__ = [
    "REGULARIZERS",
    "Applied",
    "EarlyStopping",
    "EarlyStoppingState",
    "LossFn",
    "RegularizedState",
    "Regularizer",
    "check_cross_entropy",
    "class_losses",
    "early_stopping",
    "matching",
    "num_classes",
    "regularized",
    "weights",
]
