"""A smaller rate and a larger batch do the same: halving the one beside doubling the other, from real training."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

from matplotlib.axes import Axes
from matplotlib.figure import Figure

import lr_batch
from lr_batch.data import DataNotPrepared
from runs.plots import style

MILESTONES = (0.5, 0.7, 0.85)  # parts of the examples, at each of which the rate falls or the batch grows
EVALS = 80  # places in examples at which arms are compared


class Case(NamedTuple):
    """A workload and an optimizer; `factor` divides the rate where the batch doubles. Every `part`-th training example is
    taken: of many, so that a few steps are several epochs."""

    workload: str
    options: dict[str, int]
    optimizer: str
    rate: float
    batch_size: int
    epochs: int
    factor: float
    seeds: int = 8
    part: int = 1


CASES = (
    Case("digits_mlp", {"width": 8}, "sgd", 0.4, 8, 20, 2.0),
    Case("digits_mlp", {"width": 8}, "adam", 0.02, 8, 20, math.sqrt(2.0)),
    Case("fashion_mnist_fc", {}, "sgd", 0.1, 16, 10, 2.0, seeds=4, part=20),
)
ARMS = {"rate falls": style.BLUE, "batch doubles": style.VERMILION, "neither": style.MUTED}


class Outcome(NamedTuple):
    """Training loss of every seed of each arm at `examples`; ratios of loss in the last tenth of the examples."""

    case: Case
    examples: Float[np.ndarray, " places"]
    loss: dict[str, Float[np.ndarray, "seeds places"]]
    doubling: lr_batch.Estimate  # of the batch, over a falling rate
    neither: lr_batch.Estimate  # over a falling rate


def main(out: str = "batch_schedule.png", *, quick: bool = False) -> list[Outcome]:
    """Trains with a rate that falls at three milestones, with a batch that doubles there, and with neither.

    SGD's noise goes with rate / batch, so halving the rate is matched by doubling the batch (Smith & Le, 2018); Adam's
    with rate^2 / batch, so its rate is divided by the root of 2. Milestones lie at 50, 70 and 85 % of the examples.
    Command: `python -m runs.recipes.batch_schedule`; two minutes on 2 CPU cores. Where the data of fashion_mnist_fc
    are not prepared, digits_cnn takes its place and the figure says so. Of Fashion-MNIST every 20th image is taken.
    Expect, of the loss with a growing batch over that with a falling rate (90 % intervals), 1.04 (1.02 to 1.07) for
    digits_mlp with SGD (8 seeds), where neither gives 3.2 (2.3 to 4.3), 0.99 (0.95 to 1.03) with Adam, neither 1.5 (1.2
    to 1.8), and 1.04 (1.03 to 1.04) for fashion_mnist_fc with SGD (4 seeds), neither 1.28 (1.26 to 1.31). Batches that
    grow take two thirds of the steps. Kept: `runs/results/batch_schedule`.

    Args:
      out: where the figure goes.
      quick: the first case alone, of 2 epochs and 2 seeds.
    """
    cases = [CASES[0]._replace(epochs=2)] if quick else [*map(_with_data, CASES)]
    found = [compared(case, seeds=2 if quick else case.seeds) for case in cases]
    for outcome in found:
        case = outcome.case
        print(
            f"{case.workload} with {case.optimizer}: loss of the growing batch over that of the falling rate "
            "{:.3f} ({:.3f} to {:.3f}); of neither {:.3f} ({:.3f} to {:.3f})".format(
                *outcome.doubling, *outcome.neither
            )
        )
    style.save(draw(found), out)
    print(Path(out).resolve())
    return found


def _with_data(case: Case) -> Case:
    try:
        lr_batch.as_workload(case.workload, **case.options)
    except DataNotPrepared as error:
        print(f"{error}; digits_cnn takes its place")
        return Case("digits_cnn", {}, case.optimizer, 0.1, case.batch_size, 10, case.factor)
    return case


def compared(case: Case, seeds: int) -> Outcome:
    """The three arms of one case."""
    fractions = {f"boundary_{i}": (place,) for i, place in enumerate(MILESTONES, 1)}
    falling = {"decay_steps": ("100%",), "factor": (1.0 / case.factor,), **fractions}
    growing = ",".join(f"x{2 ** (i + 1)}@{100 * place:g}%" for i, place in enumerate(MILESTONES))
    arms = {
        "rate falls": trained(case, seeds, "step", falling, None),
        "batch doubles": trained(case, seeds, None, {}, growing),
        "neither": trained(case, seeds, None, {}, None),
    }
    whole = min(result.examples(case.batch_size, result.curves[0].steps[-1]) for result in arms.values())
    places = np.geomspace(case.batch_size, whole, EVALS)
    loss = {name: _at(result, case.batch_size, places) for name, result in arms.items()}
    ends = {name: np.log(table[:, places > 0.9 * whole]).mean(axis=1) for name, table in loss.items()}
    over = lambda name: lr_batch.Estimate(
        *np.exp(lr_batch.estimate(ends[name] - ends["rate falls"])).tolist()
    )
    return Outcome(case, places, loss, over("batch doubles"), over("neither"))


def trained(
    case: Case, seeds: int, schedule: str | None, parameters: dict[str, Any], batches: str | None
) -> lr_batch.Result:
    """All seeds of one arm, each for all its examples."""
    workload = lr_batch.as_workload(case.workload, **case.options)
    train = jax.tree.map(lambda leaf: leaf[:: case.part], workload.train_data)
    part = max(1, lr_batch.num_examples(train) // 600)
    workload = workload._replace(train_data=train, eval_data=jax.tree.map(lambda leaf: leaf[::part], train))
    study = lr_batch.Study(
        workload=workload,
        optimizer=case.optimizer,
        schedule=schedule,
        batch_schedule=batches,
        space={"learning_rate": [case.rate], **parameters},
        batch_sizes=[case.batch_size],
        seeds=seeds,
        goal=lr_batch.Goal("loss", 0.0),  # out of reach: all are trained to the end
        budget=f"{case.epochs}epochs",
        slack=math.inf,
        extend=False,
        evaluation_growth=0.04,
        evaluation_share=1.0,
    )
    return lr_batch.run(study)


def _at(result: lr_batch.Result, batch_size: int, places: np.ndarray) -> np.ndarray:
    """Loss of every seed at `places` in examples, interpolated between evaluations, log against log."""
    rows = []
    for curve in result.curves:
        after = curve.steps > 0
        examples = result.examples(batch_size, curve.steps[after])
        rows.append(np.exp(np.interp(np.log(places), np.log(examples), np.log(curve.values[after]))))
    return np.stack(rows)


def draw(found: list[Outcome]) -> Figure:
    """Loss against examples, one panel for each case."""
    figure = style.new_figure(1.2 + 4.2 * len(found), 4.9)
    left = 0.75 / figure.get_figwidth()
    style.headline(
        figure,
        "A batch that doubles does what a rate that falls does",
        "geometric mean over seeds with 90 % interval; dashed: where the rate falls or the batch doubles",
        left=left,
    )
    width = (1.0 - left) / len(found)
    for number, outcome in enumerate(found):
        axes = style.add_axes(figure, left=left + number * width, bottom=0.2, width=0.83 * width, height=0.58)
        _draw_case(axes, outcome)
        if number == 0:
            handles = axes.get_legend_handles_labels()[0]
    style.legend_of_panels(figure, handles, 3)
    return figure


def _draw_case(axes: Axes, outcome: Outcome) -> None:
    case, examples = outcome.case, outcome.examples
    shown = examples > 0.02 * examples[-1]
    for name, colour in ARMS.items():
        estimates = [lr_batch.estimate(column) for column in np.log(outcome.loss[name][:, shown]).T]
        best, low, high = np.exp(np.array(estimates)).T
        axes.fill_between(examples[shown], low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(examples[shown], best, color=colour, linewidth=1.6, label=name)
    for place in MILESTONES:
        axes.axvline(place * examples[-1], color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    losses = np.concatenate([table[:, shown].ravel() for table in outcome.loss.values()])
    style.log_axis(axes.yaxis, "training loss (nats)", 0.8 * losses.min(), 1.2 * losses.max())
    axes.set_xlabel("training examples", fontsize=10, color=style.INK)
    axes.set_title(
        f"{case.workload}, {case.optimizer}\nloss {outcome.doubling.best:.2f} times that of the falling rate "
        f"({outcome.doubling.low:.2f} to {outcome.doubling.high:.2f})",
        fontsize=style.SMALL,
        color=style.INK,
        loc="left",
    )


if __name__ == "__main__":
    main(*sys.argv[1:2])
