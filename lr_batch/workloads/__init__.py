"""Ready workloads by name. Data is loaded when the factory is called."""

from __future__ import annotations

from collections.abc import Mapping

from lr_batch.problem.workload import Workload
from lr_batch.workloads import (
    fully_connected,
    lstm,
    noisy_quadratic_theory,
    resnet8,
    resnet50,
    simple_cnn,
    transformer,
    vgg11,
)
from lr_batch.workloads.digits import digits_cnn, digits_mlp
from lr_batch.workloads.examples import next_bytes
from lr_batch.workloads.fully_connected import fashion_mnist_fc, mnist_fc
from lr_batch.workloads.lstm import lm1b_lstm
from lr_batch.workloads.mlp import MLP
from lr_batch.workloads.noisy_quadratic import noisy_quadratic
from lr_batch.workloads.panel import Panel, Recipe
from lr_batch.workloads.pydoc_lm import CharTransformer, pydoc_lm
from lr_batch.workloads.registry import WorkloadRegistry
from lr_batch.workloads.resnet8 import cifar10_resnet8
from lr_batch.workloads.resnet50 import imagenet_resnet50, open_images_resnet50
from lr_batch.workloads.simple_cnn import fashion_mnist_simple_cnn, mnist_simple_cnn
from lr_batch.workloads.transformer import common_crawl_transformer, lm1b_transformer
from lr_batch.workloads.vgg11 import imagenet_vgg11

# In the order of figure 1 of Shallue et al. (2019), and after them what figure 1 leaves out.
PANELS: Mapping[str, Panel] = {
    panel.name: panel
    for panel in (
        simple_cnn.MNIST,
        simple_cnn.FASHION_MNIST,
        resnet8.PANEL,
        resnet50.IMAGENET,
        resnet50.OPEN_IMAGES,
        transformer.LM1B,
        transformer.COMMON_CRAWL,
        vgg11.PANEL,
        lstm.PANEL,
        fully_connected.MNIST,
        fully_connected.FASHION_MNIST,
    )
}
WORKLOADS = WorkloadRegistry(
    {
        "digits_mlp": digits_mlp,
        "digits_cnn": digits_cnn,
        "noisy_quadratic": noisy_quadratic,
        "pydoc_lm": pydoc_lm,
        "fashion_mnist_fc": fashion_mnist_fc,
        "mnist_fc": mnist_fc,
        "mnist_simple_cnn": mnist_simple_cnn,
        "fashion_mnist_simple_cnn": fashion_mnist_simple_cnn,
        "cifar10_resnet8": cifar10_resnet8,
        "imagenet_resnet50": imagenet_resnet50,
        "open_images_resnet50": open_images_resnet50,
        "lm1b_transformer": lm1b_transformer,
        "common_crawl_transformer": common_crawl_transformer,
        "imagenet_vgg11": imagenet_vgg11,
        "lm1b_lstm": lm1b_lstm,
    },
    # From version 0.1: names before the order "data, then network".
    renamed={
        "simple_cnn_mnist": "mnist_simple_cnn",
        "simple_cnn_fashion_mnist": "fashion_mnist_simple_cnn",
        "resnet8_cifar10": "cifar10_resnet8",
    },
)


def recipe_of(name: str) -> Recipe | None:
    """How the workload of a name is trained as published; None for what is no panel.

    >>> recipe_of("cifar10_resnet8-tiny").schedule
    'linear'
    """
    base, _, scale = WORKLOADS.renamed.get(name, name).partition("-")
    return PANELS[base].recipe_at(scale) if base in PANELS else None


def on_disk(name: str) -> Workload | None:
    """The workload of a panel whose examples stay in their records; None for what is no panel."""
    base, _, scale = WORKLOADS.renamed.get(name, name).partition("-")
    return PANELS[base].workload(scale, on_disk=True) if base in PANELS else None


__all__ = [
    "MLP",
    "PANELS",
    "WORKLOADS",
    "CharTransformer",
    "Panel",
    "Recipe",
    "next_bytes",
    "noisy_quadratic_theory",
    "on_disk",
    "recipe_of",
    *WORKLOADS,
]
