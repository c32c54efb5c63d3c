"""Fully connected networks on the MNIST family; its files are prepared by `lr-batch data prepare`."""

from __future__ import annotations

from typing import Any

from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.examples import read_flat
from lr_batch.workloads.mlp import MLP
from lr_batch.workloads.panel import TINY, Panel, Scale, powers_of_2, small_start

HIDDEN = {  # hidden widths, and the count of parameters
    "256x3": ((256,) * 3, 335_114),
    "1024": ((1_024,), 814_090),
    "1024x2": ((1_024,) * 2, 1_863_690),
    "1024x3": ((1_024,) * 3, 2_913_290),
    "2048x3": ((2_048,) * 3, 10_020_874),
    "512x3": ((512,) * 3, 932_362),
    "128x3": ((128,) * 3, 134_794),
    "64x3": ((64,) * 3, 59_210),
    TINY: ((16,) * 3, 13_274),
}


def _scale(name: str, goal: Goal, **options: Any) -> Scale:
    hidden, num_params = HIDDEN[name]
    return Scale(
        MLP((*hidden, 10), **options), (784,), num_params, goal, powers_of_2(1, 8_192), 50_000, 1_024
    )


MNIST = Panel(
    "mnist_fc",
    "mnist",
    {
        name: _scale(name, Goal("error", 0.10 if name == TINY else 0.03), head_init=small_start)
        for name in HIDDEN
    },
    read_flat,
    published="ReLU networks of the eight sizes, SGD at constant rates; 55,000 / 5,000 / 10,000 images; goal",
    chosen="256x3 where no size is given, no dropout, He-normal weights, a head that starts small, pixels in [0, 1], "
    "batch sizes up to 8,192 of the published 55,000, a grid of rates; all of tiny",
    recipe=None,
)
FASHION_MNIST = Panel(
    "fashion_mnist_fc",
    "fashion_mnist",
    {"256x3": _scale("256x3", Goal("error", 0.15))},
    read_flat,
    published="nothing: the paper has no such panel",
    chosen="mnist_fc on Fashion-MNIST, with a head that is He-normal too",
    recipe=None,
)


def fashion_mnist_fc() -> Workload:
    """784-256-256-256-10 ReLU network on Fashion-MNIST; goal: held-out error below 0.15."""
    return FASHION_MNIST.workload()


def mnist_fc(scale: str = "256x3") -> Workload:
    """Fully connected ReLU networks on MNIST; goal: held-out error below 0.03 (Shallue et al., 2019).

    Args:
      scale: hidden layers: "1024", "1024x2", "1024x3", "2048x3", "512x3", "256x3", "128x3", "64x3", or "tiny" (16x3).
    """
    return MNIST.workload(scale)
