"""Steps to the goal as published, read off the figures: each is right to about 0.1 octave.

Shallue et al. (2019), JMLR 20:112, figures 1 and 2. Their plots have no error bars; two searches of 100 trials differ by
up to 0.4 octave. Of the LSTM only the sizes that could be told are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lr_batch import Result
from optim.names import unknown

SHALLUE_2019 = "shallue2019"
NESTEROV, SGD = "nesterov", "sgd"


class Published(NamedTuple):
    """Steps to the goal by batch size, and who published them."""

    source: str
    steps: Mapping[int, float]


def _doubling(first: int, *thousands: float) -> dict[int, float]:
    return {first * 2**i: 1_000.0 * value for i, value in enumerate(thousands)}


CURVES: Mapping[tuple[str, str], Mapping[int, float]] = {
    ("mnist_simple_cnn", NESTEROV): {
        **{1: 56e3, 2: 29e3, 8: 8.6e3, 32: 2.26e3, 128: 650.0, 512: 290.0},
        **{2_048: 170.0, 8_192: 185.0, 32_768: 155.0, 55_000: 130.0},
    },
    ("cifar10_resnet8", NESTEROV): _doubling(
        2, 115, 52, 29, 13, 6.4, 3.45, 1.5, 0.98, 0.86, 0.66, 0.89, 0.68, 0.68
    ),
    ("cifar10_resnet8", SGD): {
        **_doubling(2, 114, 61, 27, 17.6, 10.4, 5.8, 4.4, 3.6, 3.3, 3.1),
        8_192: 3.3e3,
    },
    ("imagenet_resnet50", NESTEROV): _doubling(64, 1280, 636, 377, 210, 93, 52, 23, 12.9, 9.1, 8.1, 6.2),
    ("open_images_resnet50", NESTEROV): _doubling(64, 687, 462, 272, 144, 72, 38, 24, 11.4, 7.9, 6.9),
    ("lm1b_transformer", NESTEROV): _doubling(
        16, 489, 268, 133, 75, 42, 24, 18.6, 13.5, 11.9, 11.2, 10.5, 10.2
    ),
    ("common_crawl_transformer", NESTEROV): {
        **{32: 618e3, 64: 319e3, 256: 105e3, 1_024: 69e3, 4_096: 36e3, 16_384: 34e3}
    },
    ("imagenet_vgg11", NESTEROV): {
        **{32: 1.63e6, 64: 784e3},
        **_doubling(256, 207, 103, 54, 45, 35, 29, 20, 13.5, 13.1),
    },
    ("lm1b_lstm", NESTEROV): {16: 1e6, 64: 378e3, 32_768: 188e3},
}
REFERENCES = {SHALLUE_2019: "Shallue et al. (2019)"}


def published(reference: str, result: Result) -> Published:
    """The published curve of a study's panel and optimizer.

    Raises:
      ValueError: where there is none, naming those that there are.
    """
    if reference not in REFERENCES:
        raise ValueError(f"report: {unknown('reference', reference, REFERENCES)}")
    panel = panel_of(result.workload)
    if (panel, result.optimizer) not in CURVES:
        there = ", ".join(f"{name} with {optimizer}" for name, optimizer in CURVES)
        raise ValueError(
            f"report: --reference {reference} has no curve of {panel} with {result.optimizer}; it has those of {there}"
        )
    return Published(REFERENCES[reference], CURVES[panel, result.optimizer])


def panel_of(workload: str) -> str:
    """Name of the panel without its scale and without the mark of a stand-in.

    >>> panel_of("stand-in-cifar10_resnet8-tiny")
    'cifar10_resnet8'
    """
    return workload.removeprefix("stand-in-").partition("-")[0]


def is_the_panel(workload: str) -> bool:
    """Whether a study was trained on the panel's own data, at its own size: its steps mean the same then."""
    return workload == panel_of(workload)
