"""A penalty on squared weights and weight decay are the same for SGD, and are not for Adam."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import lr_batch
import reg
from optim import OPTIMIZERS
from runs.plots import style
from runs.recipes.descend import descend
from runs.recipes.rate_sensitivity import batches_of

DECAYS = 2.0 ** np.arange(-13, -2)  # weight decay; the penalty's strength is half of it
RATES = {"sgd": 0.3, "adam": 0.01}
LOOKS = {"sgd": ("SGD", style.BLUE, "o"), "adam": ("Adam", style.VERMILION, "D")}
WIDTH, STEPS, SEEDS = 32, 300, 4


class Twins(NamedTuple):
    """Norms of the weights at the end with the penalty and with decay, and the distance of the two over the latter."""

    penalty: Float[np.ndarray, "seeds decays"]
    decay: Float[np.ndarray, "seeds decays"]
    distance: Float[np.ndarray, "seeds decays"]


def main(out: str = "l2_and_weight_decay.png", *, quick: bool = False) -> dict[str, Twins]:
    """Trains `digits_mlp` with a penalty (wd / 2) |theta|^2, and with a decay of wd: same starts, same batches.

    Command: `python -m runs.recipes.l2_and_weight_decay`; fifteen seconds on 2 CPU cores.
    Expect both to end at the same weights with SGD, but for rounding, 2e-7 of their norm, and up to 0.929 (0.926 to
    0.932) of it apart with Adam, which divides the penalty's gradient by its own scale (4 seeds, 90 % interval).

    Args:
      out: where the figure goes.
      quick: 20 steps and 2 seeds in place of 300 and 4.
    """
    steps, seeds = (20, 2) if quick else (STEPS, SEEDS)
    found = {name: twins(name, steps, seeds) for name in RATES}
    style.save(draw(found, f"digits_mlp with {WIDTH} hidden units, {steps} steps of 64 · {seeds} seeds"), out)
    for name, result in found.items():
        worst = result.distance.mean(axis=0).max()
        print(f"{LOOKS[name][0]:5s} penalty and decay end up to {worst:.2g} of their norm apart")
    print(Path(out).resolve())
    return found


def twins(name: str, steps: int, seeds: int) -> Twins:
    """Both regularizers at every strength, seed after seed."""
    workload = lr_batch.as_workload("digits_mlp", width=WIDTH)
    ends = {kind: jax.jit(trainer(workload, name, kind, steps)) for kind in ("l2", "weight_decay")}
    rows = []
    for seed in range(seeds):
        penalty, decay = (
            np.asarray(train(seed, jnp.asarray(DECAYS, jnp.float32))) for train in ends.values()
        )
        norms = [np.linalg.norm(weights, axis=1) for weights in (penalty, decay, penalty - decay)]
        rows.append((norms[0], norms[1], norms[2] / norms[1]))
    return Twins(*(np.stack(column) for column in zip(*rows, strict=True)))


def trainer(workload: lr_batch.Workload, name: str, kind: str, steps: int):
    """`(seed, decays) -> weights [decays, n]` after training with one optimizer and one of the two regularizers."""

    def train(seed: Array, decays: Float[Array, " decays"]) -> Float[Array, "decays n"]:
        init_key, data_key = jax.random.split(jax.random.key(seed))
        start, rows = workload.init(init_key), batches_of(data_key, steps, workload)

        def lane(decay: Any) -> Any:
            strength = decay / 2 if kind == "l2" else decay
            hparams = {"learning_rate": RATES[name], reg.REGULARIZERS[kind].strength: strength}
            optimizer = lr_batch.RegularizedOptimizer(OPTIMIZERS[name], reg.REGULARIZERS[kind])
            of_examples = optimizer.loss(workload, hparams)

            def loss(params: Any, rows: Any) -> Any:
                batch = jax.tree.map(lambda column: jnp.asarray(column)[rows], workload.train_data)
                return of_examples(params, batch, init_key).mean()

            end, _ = descend(optimizer(hparams), loss, start, rows, lambda params: ())
            return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(end) if leaf.ndim > 1])

        return jax.vmap(lane)(decays)

    return train


def draw(found: dict[str, Twins], subtitle: str) -> Figure:
    """Left, norms of the weights against the strength; right, how far the two ends are apart."""
    figure = style.new_figure(9.4, 4.8)
    title = "L2 penalty and weight decay: one and the same for SGD, two for Adam"
    style.headline(figure, title, subtitle, left=0.085)
    left, right = (style.add_axes(figure, at, 0.21, 0.40, 0.61) for at in (0.085, 0.59))
    _norms_panel(left, found)
    _distance_panel(right, found)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlim(DECAYS[0] / 1.4, DECAYS[-1] * 1.4)
        axes.set_xticks(DECAYS[1::2], [rf"$2^{{{round(np.log2(decay))}}}$" for decay in DECAYS[1::2]])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("weight decay, twice the strength of the penalty", fontsize=10, color=style.INK)
        style.legend_below(axes)
    return figure


def _bars(axes: Axes, values: Float[np.ndarray, "seeds decays"], **look: Any) -> tuple[float, float]:
    middle, low, high = np.exp(np.array([lr_batch.estimate(column) for column in np.log(values).T])).T
    axes.errorbar(DECAYS, middle, style.bars(middle, low, high), markersize=4.5, linewidth=1.4, **look)
    return style.positive_span(low, high)


def _norms_panel(axes: Axes, found: dict[str, Twins]) -> None:
    spans = []
    for name, twin in found.items():
        title, colour, marker = LOOKS[name]
        look = {"color": colour, "marker": marker}
        spans.append(_bars(axes, twin.penalty, label=f"{title}, penalty", **look))
        hollow = {"markerfacecolor": "white", "linestyle": (0, (4, 2))}
        spans.append(_bars(axes, twin.decay, label=f"{title}, decay", **look, **hollow))
    low, high = style.positive_span(spans)
    style.log_axis(axes.yaxis, "norm of the weights", low / 1.3, high * 1.3)
    axes.set_title("geometric mean and 90 % interval over seeds", fontsize=9.5, loc="left", pad=4)


def _distance_panel(axes: Axes, found: dict[str, Twins]) -> None:
    spans = []
    for name, twin in found.items():
        title, colour, marker = LOOKS[name]
        spans.append(_bars(axes, np.maximum(twin.distance, 1e-9), color=colour, marker=marker, label=title))
    low, high = style.positive_span(spans)
    style.log_axis(axes.yaxis, "distance of the two, over the norm", low / 2, high * 2)
    axes.set_title("how far penalty and decay end apart", fontsize=9.5, loc="left", pad=4)


if __name__ == "__main__":
    main(*sys.argv[1:2])
