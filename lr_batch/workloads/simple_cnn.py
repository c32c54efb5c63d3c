"""Simple CNN on MNIST and Fashion-MNIST: panels (a) and (b) of Shallue et al. (2019)."""

from __future__ import annotations

from lr_batch.problem.workload import Goal, Workload
from lr_batch.workloads.cnn import SmallCNN
from lr_batch.workloads.examples import read_classes
from lr_batch.workloads.panel import TINY, Panel, Scale, powers_of_2, small_start

WIDTHS = {"base": (32, 64, 1_024), "narrow": (16, 32, 512), "wide": (64, 128, 2_048), TINY: (4, 8, 32)}
NUM_PARAMS = {"base": 3_274_634, "narrow": 821_706, "wide": 13_074_186, TINY: 3_578}
PUBLISHED = (
    "5x5 convolutions with ReLU, each followed by 2x2 max-pooling, a dense layer with dropout 0.4; widths of base, "
    "narrow and wide; 55,000 / 5,000 / 10,000 images; constant rates; goal and batch sizes"
)
CHOSEN = "He-normal weights, a head that starts small, pixels in [0, 1], ranges of the search; all of tiny"


def _scales(error: float, low: int, tiny: float) -> dict[str, Scale]:
    sizes = (*powers_of_2(low, 32_768), 55_000)

    def scale(name: str) -> Scale:
        first, second, hidden = WIDTHS[name]
        return Scale(
            SmallCNN(
                (first, second),
                classes=10,
                kernel=5,
                hidden=(hidden,),
                dropout=0.4,
                head_init=small_start,
                shrink=2 if name == TINY else 1,
            ),
            (28, 28, 1),
            NUM_PARAMS[name],
            Goal("error", tiny if name == TINY else error),
            powers_of_2(4, 512) if name == TINY else sizes,
            10_000 if name == TINY else 200_000,
        )

    return {name: scale(name) for name in WIDTHS}


MNIST = Panel("mnist_simple_cnn", "mnist", _scales(0.01, 1, 0.08), read_classes, PUBLISHED, CHOSEN)
FASHION_MNIST = Panel(
    "fashion_mnist_simple_cnn", "fashion_mnist", _scales(0.10, 2, 0.25), read_classes, PUBLISHED, CHOSEN
)


def mnist_simple_cnn(scale: str = "base") -> Workload:
    """Panel (a): two 5x5 convolutions and a hidden layer on MNIST; goal: held-out error below 0.01.

    Args:
      scale: "base" (32 and 64 filters, 1,024 hidden units), "narrow" (half of each), "wide" (twice) or "tiny"
        (4 and 8 filters, 32 hidden units, 14x14 pixels).
    """
    return MNIST.workload(scale)


def fashion_mnist_simple_cnn(scale: str = "base") -> Workload:
    """Panel (b): the same network on Fashion-MNIST; goal: held-out error below 0.10.

    Args:
      scale: as of `mnist_simple_cnn`.
    """
    return FASHION_MNIST.workload(scale)
