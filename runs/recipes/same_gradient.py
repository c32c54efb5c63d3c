"""From SGD by way of RMSProp and Adam to LAMB, Shampoo and Muon: what each makes of the same gradients."""

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
from runs.recipes.rate_sensitivity import batches_of

METHODS = {
    "sgd": ("SGD", style.MUTED, "-"),
    "rmsprop": ("RMSProp", style.ORANGE, "-"),
    "adam": ("Adam", style.VERMILION, "-"),
    "lamb": ("LAMB", style.PURPLE, (0, (2, 2))),  # Adam's direction in each layer, at another length
    "shampoo": ("Shampoo", style.GREEN, "-"),
    "muon": ("Muon", style.BLUE, "-"),
}
STEPS, SEEDS, RATE = 40, 4, 0.1  # of the training with SGD that the gradients come from
LAYER = ("Dense_0", "kernel")  # 64 pixels times 128 units
SHOWN = slice(16, 40)  # pixels and units that are drawn: rows in the middle of the image
RELATIVE = 1e-3  # singular values below this part of the largest count as zero


class Update(NamedTuple):
    """What a method makes of the last gradient: of the first seed whole, of all seeds its singular values.

    `rank` is the effective rank (sum s)^2 / sum s^2 of the singular values s.
    """

    first: Float[np.ndarray, "rows columns"]
    singular: Float[np.ndarray, "seeds values"]
    rank: lr_batch.Estimate


def main(out: str = "same_gradient.png", *, quick: bool = False) -> dict[str, Update]:
    """Shows every method the gradients of one training with SGD, and compares what each would do at its last step.

    Command: `python -m runs.recipes.same_gradient`; half a minute on 2 CPU cores.
    Expect an effective rank of the update of 7.3 (5.7 to 8.8) of 64 with SGD, 15 with RMSProp, 19 with Adam and LAMB,
    27 with Shampoo and 49.3 (49.2 to 49.5) with Muon (4 seeds, 90 % intervals).

    Args:
      out: where the figure goes.
      quick: 2 seeds and 5 steps.
    """
    seeds, steps = (2, 5) if quick else (SEEDS, STEPS)
    matrices = {name: [] for name in METHODS}
    for seed in range(seeds):
        for name, matrix in updates(seed, steps).items():
            matrices[name].append(matrix)
    found = {name: described(np.array(rows)) for name, rows in matrices.items()}
    style.save(draw(found, f"digits_mlp, first layer, after {steps} steps of SGD · {seeds} seeds"), out)
    for name, update in found.items():
        print("{:8s} effective rank {:.1f} ({:.1f} to {:.1f})".format(METHODS[name][0], *update.rank))
    print(Path(out).resolve())
    return found


def updates(seed: int, steps: int) -> dict[str, Float[np.ndarray, "rows columns"]]:
    """The last update of each method to one layer, at a rate of 1, along one path with its gradients."""
    workload = lr_batch.WORKLOADS["digits_mlp"]()
    init_key, data_key = jax.random.split(jax.random.key(seed))

    def loss(params: Any, rows: Any) -> Any:
        batch = jax.tree.map(lambda column: jnp.asarray(column)[rows], workload.train_data)
        return workload.loss(params, batch, init_key).mean()

    start, rows = workload.init(init_key), batches_of(data_key, steps + 1, workload)
    before = jax.tree.map(lambda leaf: leaf[:-1], rows)
    sgd = OPTIMIZERS["sgd"]({"learning_rate": RATE})
    path = jax.jit(lambda: descend(sgd, loss, start, before, lambda params: params)[1])()
    path = jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), start, path)
    gradients = jax.jit(jax.vmap(jax.grad(loss)))(path, rows)
    return {name: _last_update(name, path, gradients) for name in METHODS}


def _last_update(name: str, path: Any, gradients: Any) -> Float[np.ndarray, "rows columns"]:
    """Momentum and averages see all the gradients, the parameters are those of the path."""
    optimizer = OPTIMIZERS[name]({"learning_rate": 1.0})

    def step(state: Any, seen: Any):
        params, grads = seen
        updates: Any
        updates, state = optimizer.update(grads, state, params)
        for part in LAYER:
            updates = updates[part]
        return state, updates

    state = optimizer.init(jax.tree.map(lambda leaf: leaf[0], path))
    last: Any = jax.jit(lambda: jax.lax.scan(step, state, (path, gradients))[1])()
    return np.asarray(last[-1])


def described(matrices: Float[np.ndarray, "seeds rows columns"]) -> Update:
    """Singular values are divided by the largest; those of pixels that are always white are left out."""
    singular = np.linalg.svd(matrices.astype(float), compute_uv=False)
    singular = singular / singular[:, :1]
    counted = np.where(singular > RELATIVE, singular, 0.0)
    rank = counted.sum(axis=1) ** 2 / np.square(counted).sum(axis=1)
    return Update(matrices[0], singular, lr_batch.estimate(rank))


def draw(found: dict[str, Update], setting: str) -> Figure:
    """Above a part of each update, below the singular values of all."""
    figure = style.new_figure(9.4, 6.2)
    title = "The same gradients, and what each method makes of them"
    style.headline(figure, title, f"{setting} · each update divided by its own size", left=0.085)
    for number, (name, update) in enumerate(found.items()):
        axes = style.add_axes(figure, 0.085 + 0.15 * number, 0.605, 0.14, 0.215)
        _matrix_panel(axes, name, update)
    _spectrum_panel(style.add_axes(figure, 0.085, 0.165, 0.89, 0.34), found)
    return figure


def _matrix_panel(axes: Axes, name: str, update: Update) -> None:
    """Entries in units of the root of the mean square, red and blue."""
    size = np.sqrt(np.square(update.first).mean())
    axes.imshow(-update.first[SHOWN, SHOWN] / size, cmap="RdBu", vmin=-2.5, vmax=2.5, aspect="auto")
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title(METHODS[name][0], fontsize=9.5, loc="left", pad=4, color=style.INK)
    if name == "sgd":
        axes.set_ylabel("pixel", fontsize=9, color=style.INK)
    axes.set_xlabel("unit", fontsize=9, color=style.INK)


def _spectrum_panel(axes: Axes, found: dict[str, Update]) -> None:
    for name, update in found.items():
        title, colour, dashes = METHODS[name]
        middle = np.exp(np.log(np.maximum(update.singular, 1e-12)).mean(axis=0))
        label = f"{title}, rank {update.rank.best:.0f}"
        place = np.arange(1, len(middle) + 1)
        axes.plot(place, middle, color=colour, linestyle=dashes, linewidth=1.7, label=label)
    axes.set_xlim(1, update.singular.shape[1])
    style.log_axis(axes.yaxis, "singular value over the largest", RELATIVE, 1.3)
    axes.set_xlabel("singular values, largest first", fontsize=10, color=style.INK)
    axes.set_title("geometric mean over seeds; effective ranks", fontsize=9.5, loc="left", pad=4)
    style.legend_below(axes)


if __name__ == "__main__":
    main(*sys.argv[1:2])
