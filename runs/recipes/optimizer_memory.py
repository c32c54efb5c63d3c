"""The memory of optimizers, measured: what it keeps between two steps, and what a step takes beside that."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

import lr_batch
from optim import OPTIMIZERS, state_bytes
from runs.plots import style

WORKLOAD = "pydoc_lm"
# One of a kind.
NAMES = ("sgd", "momentum", "adagrad", "rmsprop", "adam", "lion", "lamb", "muon", "shampoo", "soap")
QUICK = ("sgd", "adam")
LONGEST = 40.0  # bytes per parameter that are drawn; longer bars are cut and say so


class Memory(NamedTuple):
    """Bytes per parameter: weights and their gradient, state as its arrays are, and the step's scratch memory.

    `computed` is the state by `optim.state_bytes`, which allocates nothing.
    """

    weights: float
    state: float
    computed: float
    scratch: float


def main(out: str = "optimizer_memory.png", *, quick: bool = False) -> dict[str, Memory]:
    """Allocates the state of ten optimizers for the parameters of a small transformer, and compiles a step of each.

    Command: `python -m runs.recipes.optimizer_memory`; a minute on 2 CPU cores.
    SAM and L-BFGS are left out: their steps evaluate the loss again, and have no memory of their own.
    Expect a state of 0 bytes per parameter with SGD, 4 with momentum, RMSProp and Lion, 8 with Adam and LAMB, 5.7 with
    Muon, which needs one average for a matrix, and 31 with Shampoo, each as computed.

    Args:
      out: where the figure goes.
      quick: two optimizers, and a smaller network.
    """
    workload = "digits_mlp" if quick else WORKLOAD
    params = lr_batch.WORKLOADS[workload]().init(jax.random.key(0))
    found = {name: measured(name, params) for name in (QUICK if quick else NAMES)}
    num_params = sum(leaf.size for leaf in jax.tree.leaves(params))
    style.save(draw(found, f"{workload}, {num_params:,} parameters"), out)
    for name, memory in found.items():
        print(f"{name:20s} state {memory.state:.2f}, scratch {memory.scratch:.2f} bytes per parameter")
    print(Path(out).resolve())
    return found


def measured(name: str, params: Any) -> Memory:
    """What one optimizer holds and needs; nothing of it is left afterwards."""
    optimizer = OPTIMIZERS[name]({})
    table = state_bytes(optimizer, params)
    state = jax.jit(optimizer.init)(params)
    step = jax.jit(optimizer.update).lower(params, state, params).compile()
    needed = step.memory_analysis()
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    scratch = needed.temp_size_in_bytes if needed is not None else float("nan")
    per_param = np.array([table.weights, held, sum(table.state.values()), scratch]) / table.num_params
    return Memory(*per_param.tolist())


def draw(found: dict[str, Memory], what: str) -> Figure:
    """Bars, the smallest state first: weights, gradient, state, scratch."""
    order = sorted(found, key=lambda name: (found[name].state, found[name].scratch))
    figure = style.new_figure(7.2, 1.9 + 0.27 * len(order))
    height = figure.get_figheight()
    figure.text(
        0.03,
        1 - 0.24 / height,
        "What an optimizer keeps in memory",
        fontsize=12.5,
        fontweight="bold",
        color=style.INK,
        va="center",
    )
    subtitle = f"{what} in float32 · 4 bytes of weights and 4 of gradient not drawn"
    figure.text(0.03, 1 - 0.5 / height, subtitle, fontsize=9.5, color=style.MUTED, va="center")
    axes = style.add_axes(figure, 0.225, 1.0 / height, 0.745, 1 - 1.75 / height)
    rows = np.arange(len(order))
    state = np.array([found[name].state for name in order])
    scratch = np.array([found[name].scratch for name in order])
    axes.barh(
        rows, np.minimum(state, LONGEST), color=style.BLUE, height=0.66, label="state, kept between steps"
    )
    axes.barh(
        rows,
        np.clip(LONGEST - state, 0, scratch),
        left=state,
        color=style.SKY,
        height=0.66,
        label="scratch, during a step",
    )
    for row, (kept, more) in enumerate(zip(state, scratch, strict=True)):
        end, cut = min(kept + more, LONGEST), kept + more > LONGEST
        if cut:
            axes.plot(end + 0.3, row, ">", color=style.SKY, markersize=7)
        axes.text(
            end + (1.2 if cut else 0.4),
            row,
            f"{kept:.3g} + {more:.3g}",
            va="center",
            fontsize=style.SMALL,
            color=style.INK,
        )
    if (state + scratch > LONGEST).any():
        axes.plot([], [], ">", color=style.SKY, markersize=7, label="longer than drawn")
    axes.set_yticks(rows, [style.plain(name, 22) for name in order])
    axes.grid(False, axis="y")
    axes.invert_yaxis()
    axes.set_xlim(0, LONGEST * 1.2)
    axes.set_xticks(np.arange(0, LONGEST + 1, 8))
    axes.set_xlabel("bytes per parameter", fontsize=10, color=style.INK)
    handles = axes.get_legend_handles_labels()[0]
    figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.5, 0.26 / height),
        ncols=3,
        frameon=False,
        fontsize=style.SMALL,
    )
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:2])
