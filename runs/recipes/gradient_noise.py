"""Larger batches make calmer paths: the variance of a gradient falls as one over the batch size."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import lr_batch
from optim import OPTIMIZERS
from runs.plots import style
from runs.recipes.descend import descend
from runs.recipes.ridge import diabetes

BATCH_SIZES = (1, 4, 16, 64, 256, 1024)
DRAWN = {1: style.VERMILION, 16: style.BLUE, 256: style.GREEN}  # batch sizes of the paths, from one start
RATE, STEPS, START = 0.06, 150, (-0.55, 0.6)
FEATURES = (2, 8)  # body mass index and a blood value: the two that tell most of the progress of diabetes


class GradientNoise(NamedTuple):
    """Variance E|g - G|^2 / |G|^2 of batches, G the gradient over all examples.

    `power` is d log variance / d log batch size; `scale` the batch size at which the variance is |G|^2.
    """

    variance: Float[np.ndarray, "seeds sizes"]
    power: lr_batch.Estimate
    scale: lr_batch.Estimate
    paths: dict[int, Float[np.ndarray, "points 2"]]


def main(out: str = "gradient_noise.png", *, quick: bool = False) -> GradientNoise:
    """Draws paths of SGD at three batch sizes and measures the noise of gradients at six.

    Left, least squares with two coefficients on the diabetes data; right, `digits_mlp` before training.
    Command: `python -m runs.recipes.gradient_noise`; ten seconds on 2 CPU cores.
    Expect a variance that falls as the batch size to the power -0.997 (-1.000 to -0.995) and equals the squared
    gradient at a batch of 28 (21 to 38; 8 seeds, 90 % intervals).

    Args:
      out: where the figure goes.
      quick: 2 seeds and 8 batches in place of 8 and 128.
    """
    seeds, draws = (2, 8) if quick else (8, 128)
    variance = np.stack([variances(seed, draws) for seed in range(seeds)])
    lines = np.polynomial.polynomial.polyfit(np.log(BATCH_SIZES), np.log(variance).T, 1)
    scale = np.exp(np.array(lr_batch.estimate(-lines[0] / lines[1])))
    found = GradientNoise(
        variance,
        lr_batch.estimate(lines[1]),
        lr_batch.Estimate(*scale.tolist()),
        {size: path(size) for size in DRAWN},
    )
    style.save(draw(found), out)
    print("variance goes as batch size^{:.3f} ({:.3f} to {:.3f})".format(*found.power))
    print("and equals the squared gradient at a batch of {:.1f} ({:.1f} to {:.1f})".format(*found.scale))
    print(Path(out).resolve())
    return found


def variances(seed: int, draws: int) -> Float[np.ndarray, " sizes"]:
    """Of the gradient at one start, from batches drawn with replacement; each is a mean of the examples' gradients."""
    workload = lr_batch.WORKLOADS["digits_mlp"]()
    params = workload.init(jax.random.key(seed))
    gradients = np.asarray(_gradients_of_examples(workload, params))
    whole = gradients.mean(axis=0)
    rng = np.random.default_rng(seed)
    found = []
    for size in BATCH_SIZES:
        counts = rng.multinomial(size, np.full(len(gradients), 1 / len(gradients)), draws)
        batches = (counts / size).astype(np.float32) @ gradients
        found.append(np.square(batches - whole).sum(axis=1).mean())
    return np.array(found) / np.square(whole).sum()


def _gradients_of_examples(workload: lr_batch.Workload, params: Any) -> Float[jax.Array, "examples params"]:
    def gradient(row: Any) -> Any:
        batch = jax.tree.map(lambda leaf: leaf[None], row)
        grads = jax.grad(lambda p: workload.loss(p, batch, jax.random.key(0))[0])(params)
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(grads)])

    return jax.jit(jax.vmap(gradient))(jax.tree.map(jnp.asarray, workload.train_data))


def problem() -> tuple[jax.Array, jax.Array]:
    """Two features of 442 patients, and the progress of their illness."""
    x, y = diabetes()
    return jnp.asarray(x[:, FEATURES], jnp.float32), jnp.asarray(y, jnp.float32)


def path(batch_size: int) -> Float[np.ndarray, "points 2"]:
    """SGD from `START`, batches drawn with replacement."""
    x, y = problem()
    rows = jax.random.randint(jax.random.key(batch_size), (STEPS, batch_size), 0, len(y))
    loss = lambda w, batch: jnp.mean((x[batch] @ w - y[batch]) ** 2)
    optimizer = OPTIMIZERS["sgd"]({"learning_rate": RATE})
    points = jax.jit(lambda start: descend(optimizer, loss, start, rows, lambda w: w)[1])(jnp.array(START))
    return np.vstack([START, points])


def draw(found: GradientNoise) -> Figure:
    """Left, paths over the contours of the loss; right, variance against batch size."""
    figure = style.new_figure(9.4, 4.8)
    title = "Larger batches make calmer paths, until noise no longer matters"
    subtitle = (
        f"left: least squares, SGD at rate {RATE:g}; right: digits_mlp untrained, {len(found.variance)} seeds"
    )
    style.headline(figure, title, subtitle, left=0.075)
    _paths_panel(style.add_axes(figure, 0.075, 0.21, 0.40, 0.61), found)
    _variance_panel(style.add_axes(figure, 0.585, 0.21, 0.39, 0.61), found)
    return figure


def _paths_panel(axes: Axes, found: GradientNoise) -> None:
    x, y = map(np.asarray, problem())
    across, up = np.meshgrid(np.linspace(-0.7, 0.85, 120), np.linspace(-0.35, 1.05, 110))
    weights = np.stack([across.ravel(), up.ravel()])
    loss = np.mean((x @ weights - y[:, None]) ** 2, axis=0).reshape(across.shape)
    axes.contour(across, up, loss, loss.min() + np.geomspace(0.005, 3, 9), colors=style.FAINT, linewidths=0.8)
    for size, colour in DRAWN.items():
        axes.plot(*found.paths[size].T, color=colour, linewidth=1.2, label=f"batch {size}")
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    axes.plot(*best, marker="*", color=style.INK, markersize=9, linestyle="none", zorder=3)
    axes.grid(False)
    axes.set_xlabel(r"$w_1$ (body mass index)", fontsize=10, color=style.INK)
    axes.set_ylabel(r"$w_2$ (blood value)", fontsize=10, color=style.INK)
    axes.set_title(f"{STEPS} steps from one start", fontsize=9.5, loc="left", pad=4)
    style.legend_below(axes)


def _variance_panel(axes: Axes, found: GradientNoise) -> None:
    sizes = np.array(BATCH_SIZES, float)
    middle, low, high = np.exp(np.array([lr_batch.estimate(column) for column in np.log(found.variance).T])).T
    axes.errorbar(
        sizes,
        middle,
        style.bars(middle, low, high),
        fmt="o",
        color=style.BLUE,
        markersize=5,
        label="measured",
    )
    line = found.scale.best / sizes
    axes.plot(
        sizes, line, color=style.MUTED, linewidth=1.2, linestyle=(0, (3, 3)), label="one over batch size"
    )
    style.batch_axis(axes, BATCH_SIZES)
    axes.axhline(1.0, color=style.INK, linewidth=0.8)
    axes.text(
        BATCH_SIZES[-1], 1.12, "as large as the gradient", ha="right", fontsize=style.SMALL, color=style.INK
    )
    ends = np.concatenate([low, high])
    style.log_axis(
        axes.yaxis, r"variance over gradient, $E|g-G|^2 / |G|^2$", ends.min() / 1.6, ends.max() * 1.6
    )
    axes.set_title("mean and 90 % interval over seeds", fontsize=9.5, loc="left", pad=4)
    style.legend_below(axes)


if __name__ == "__main__":
    main(*sys.argv[1:2])
