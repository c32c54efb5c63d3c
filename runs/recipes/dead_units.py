"""Why a narrow network has a lower best rate even under muP: at high rates few of its units stay alive."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure

from lr_batch import SCHEDULES, Workload, log_grid
from lr_batch.workloads import digits_mlp
from optim import Optimizer
from runs.plots import style
from runs.recipes.descend import descend
from runs.recipes.rate_sensitivity import BATCH_SIZE, batches_of
from runs.transfer.best_rate import best_rates, octaves_text
from runs.transfer.family import MUP, Family
from runs.transfer.run import TransferPlan
from runs.write import plain, write_atomically

RESULTS = Path(__file__).parent.parent / "results" / "transfer"
COLORS = (style.GREEN, style.BLUE, style.VERMILION)
FALLS = {"constant": "-", "linear": ":"}


class Survey(NamedTuple):
    """Of every width: final training loss, and share of the hidden units that are 0 on all examples."""

    loss: Float[np.ndarray, "widths seeds rates"]
    dead: Float[np.ndarray, "widths seeds rates"]


def main(out: str | None = None, *, quick: bool = False) -> dict[str, Survey]:
    """Trains `digits_mlp` under muP with Adam for 100 steps, at constant and at falling rates.

    Command: `python -m runs.recipes.dead_units`, 3 minutes of CPU time.

    Expected (8 seeds, 90 % intervals): from width 64 to 1,024 the best rate moves by +1.03 (+0.51 to +1.56)
    octaves at constant rates and by +0.26 (+0.14 to +0.38) where they fall to zero. The share of dead units
    depends on the rate and not on the width; what narrow networks lack at high rates is units.

    Args:
      out: folder of dead_units.json and dead_units.png; the kept results where None.
      quick: two narrow widths, 3 rates, 2 seeds, 5 steps.
    """
    widths, num_rates = ((8, 16), 3) if quick else ((64, 256, 1024), 15)
    rates = log_grid(2**-7, 1.0, num_rates)
    found, lines = {}, []
    for name in FALLS:
        plan = TransferPlan(
            widths, rates, (BATCH_SIZE,), 5 if quick else 100, 2 if quick else 8, schedule=name
        )
        found[name] = Survey(*np.stack([survey(plan, width) for width in widths], axis=1))
        for row in best_rates(widths, rates, found[name].loss)[1:]:
            shift = octaves_text(plain(row.octaves._asdict()))
            lines.append(f"{name} rate: best moves {shift} octaves from width {widths[0]} to {row.width}")
    kept = RESULTS if out is None else Path(out)
    kept.mkdir(parents=True, exist_ok=True)
    numbers = {name: {"loss": s.loss.tolist(), "dead": s.dead.tolist()} for name, s in found.items()}
    told = {"widths": widths, "rates": rates, "axes": ["width", "seed", "rate"], "lines": lines}
    write_atomically(kept / "dead_units.json", json.dumps(told | numbers).encode())
    style.save(draw(widths, rates, found), kept / "dead_units.png")
    print(*lines, sep="\n")
    return found


def survey(plan: TransferPlan, width: int) -> Float[np.ndarray, "2 seeds rates"]:
    """Final losses and shares of dead units of one width; the rates of a seed share start and batches."""
    workload, optimizer = Family(digits_mlp, "adam", plan.widths[0]).member(MUP, width)
    if plan.schedule != "constant":
        fall = optax.scale_by_schedule(SCHEDULES[plan.schedule](1.0, plan.steps))
        optimizer = optimizer._replace(make=lambda hparams, make=optimizer: optax.chain(make(hparams), fall))

    def all_rates(seed: Int[Array, ""]) -> Float[Array, "2 rates"]:
        init_key, data_key = jax.random.split(jax.random.key(seed))
        start, batches = workload.init(init_key), batches_of(data_key, plan.steps, workload)
        lane = lambda rate: trained(workload, optimizer, rate, start, batches)
        return jnp.stack(jax.vmap(lane)(jnp.asarray(plan.rates, jnp.float32)))

    seeds = jnp.arange(plan.seeds)
    return np.asarray(jax.jit(lambda seeds: jax.lax.map(all_rates, seeds))(seeds), float).swapaxes(0, 1)


def trained(
    workload: Workload, optimizer: Optimizer, rate: Array, start: Any, batches: Array
) -> tuple[Array, Array]:
    """Loss on the evaluated examples after the training, and share of dead units."""

    def loss(params: Any, rows: Int[Array, " batch"]) -> Float[Array, ""]:
        batch = jax.tree.map(lambda column: jnp.asarray(column)[rows], workload.train_data)
        return workload.loss(params, batch, jax.random.key(0)).mean()

    params, _ = descend(optimizer({"learning_rate": rate}), loss, start, batches, lambda params: ())
    layer = params["Dense_0"]
    before_relu = workload.eval_data["x"] @ layer["kernel"] + layer["bias"][None]
    return workload.evaluate(params, workload.eval_data)["loss"].mean(), (before_relu <= 0).all(axis=0).mean()


def draw(widths: Sequence[int], rates: Sequence[float], found: dict[str, Survey]) -> Figure:
    """Left the loss, right the share of dead units, against the rate; full: constant, dotted: falling."""
    figure = style.new_figure(10.2, 4.9)
    title = "At high rates most units die at every width, and a narrow network has few"
    subtitle = "digits_mlp under muP · adam · 100 steps · full: constant rate · dotted: falling to zero"
    style.headline(figure, title, subtitle, left=0.075)
    for i, what in enumerate(("loss", "dead")):
        axes = style.add_axes(figure, left=0.075 + 0.485 * i, bottom=0.22, width=0.41, height=0.6)
        style.log_axis(axes.xaxis, "learning rate", rates[0] / 1.2, rates[-1] * 1.2)
        for name, line in FALLS.items():
            for width, colour, values in zip(widths, COLORS, getattr(found[name], what), strict=False):
                mean = np.exp(np.log(values).mean(axis=0)) if what == "loss" else values.mean(axis=0)
                label = f"width {width:,}" if name == "constant" else None
                axes.plot(rates, mean, line, color=colour, label=label)
        if what == "loss":
            losses = np.stack([s.loss for s in found.values()])
            style.log_axis(axes.yaxis, "final training loss (nats)", losses.min(), losses.max())
        else:
            axes.set_ylabel("share of dead hidden units", fontsize=10, color=style.INK)
    style.legend_below(axes)
    return figure


if __name__ == "__main__":
    main(*sys.argv[1:2])
