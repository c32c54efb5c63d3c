"""Ready workloads by name. Data is loaded when the factory is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lr_batch.problem.workload import Workload
from lr_batch.workloads.digits import digits_cnn, digits_mlp
from lr_batch.workloads.fully_connected import fashion_mnist_fc, mnist_fc
from lr_batch.workloads.mlp import MLP
from lr_batch.workloads.noisy_quadratic import noisy_quadratic
from lr_batch.workloads.published import resnet8_cifar10, simple_cnn_fashion_mnist, simple_cnn_mnist
from lr_batch.workloads.pydoc_lm import CharTransformer, pydoc_lm
from optim.names import Registry

WORKLOADS: Mapping[str, Callable[[], Workload]] = Registry(
    "workload",
    {
        "digits_mlp": digits_mlp,
        "digits_cnn": digits_cnn,
        "noisy_quadratic": noisy_quadratic,
        "pydoc_lm": pydoc_lm,
        "fashion_mnist_fc": fashion_mnist_fc,
        "mnist_fc": mnist_fc,
        "simple_cnn_mnist": simple_cnn_mnist,
        "simple_cnn_fashion_mnist": simple_cnn_fashion_mnist,
        "resnet8_cifar10": resnet8_cifar10,
    },
)

__all__ = ["MLP", "WORKLOADS", "CharTransformer", *WORKLOADS]
