"""Loss over learning rate, batch size and width, under the standard parameterization and under muP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lr_batch import Workload, log_grid
from lr_batch.workloads import digits_mlp
from runs.plots import style
from runs.plots.cells import geometric_edges
from runs.transfer.best_rate import BestRate, best_rates, octaves_text
from runs.transfer.family import PARAMETERIZATIONS, Family
from runs.transfer.run import TransferPlan, losses_after, studies_of, train_all
from runs.write import plain, write_atomically

RESULTS = Path(__file__).parent.parent / "results" / "transfer"
SHADES = 20.0  # losses are shaded from the best of a batch size to this factor times it
PLAN = TransferPlan(
    widths=(16, 64, 256),
    rates=log_grid(2**-10, 2**-2, 9),
    batch_sizes=(16, 64, 256),
    steps=40,
    seeds=3,
    schedule="constant",
)
QUICK = TransferPlan(
    widths=(8, 16),
    rates=log_grid(2**-9, 2**-3, 4),
    batch_sizes=(16, 64),
    steps=10,
    seeds=2,
    schedule="constant",
)


class Surface(NamedTuple):
    """Final losses of every parameterization; infinite where a trial diverged."""

    plan: TransferPlan
    losses: dict[str, Float[np.ndarray, "widths batch_sizes seeds rates"]]

    def best(self, name: str, batch: int) -> tuple[BestRate, ...]:
        """The best rate of every width at batch size number `batch`."""
        return best_rates(self.plan.widths, self.plan.rates, self.losses[name][:, batch])


def main(out: str | None = None, quick: bool = False) -> Surface:
    """Trains `digits_mlp` with two hidden layers and Adam at 9 rates, 3 batch sizes and 3 widths, both ways.

    Command: `python -m runs.recipes.joint_surface`; a minute or two on 2 cores.

    Args:
      out: folder of the stores, joint_surface.json and joint_surface.png; the kept results where None.
      quick: 2 small widths, 2 batch sizes, 4 rates, 10 steps.
    """
    plan = QUICK if quick else PLAN
    family = Family(network, "adam", base_width=plan.widths[0])
    kept = RESULTS if out is None else Path(out)
    stores = Path("lr-batch-results") / "joint-surface" if out is None else kept

    results = train_all(studies_of(family, plan), stores)
    final = lambda result: losses_after(plan.steps, result, plan)
    losses = {name: np.stack([final(result) for result in results[name]]) for name in PARAMETERIZATIONS}
    surface = Surface(plan, losses)
    kept.mkdir(parents=True, exist_ok=True)
    write_atomically(kept / "joint_surface.json", json.dumps(as_json(surface)).encode())
    style.save(draw(surface), kept / "joint_surface.png")
    for line in drifts(surface):
        print(line)
    return surface


def network(width: int) -> Workload:
    """Two hidden layers."""
    return digits_mlp(width, layers=2)


def as_json(surface: Surface) -> dict[str, Any]:
    """Everything measured; diverged trials are null."""
    plan = surface.plan
    return {
        "command": "python -m runs.recipes.joint_surface",
        "workload": "digits_mlp, layers 2",
        "optimizer": "adam",
        "measured": f"training loss after {plan.steps} steps",
        "seeds": plan.seeds,
        "axes": ["width", "batch size", "seed", "rate"],
        "widths": plan.widths,
        "batch_sizes": plan.batch_sizes,
        "rates": plan.rates,
        "losses": {
            name: np.where(np.isfinite(loss), np.round(loss, 6), np.array(None)).tolist()
            for name, loss in surface.losses.items()
        },
        "drifts": drifts(surface),
    }


def drifts(surface: Surface) -> list[str]:
    """How far the best rate moves over all widths, at every batch size."""
    rows = []
    for name in PARAMETERIZATIONS:
        for i, size in enumerate(surface.plan.batch_sizes):
            shift = octaves_text(plain(surface.best(name, i)[-1].octaves._asdict()))
            rows.append(f"{name:8s} batch {size:4d}: best rate moves {shift} octaves")
    return rows


def draw(surface: Surface) -> Figure:
    """Loss over rate and width, a column for each batch size, a row for each parameterization.

    White: best rates with intervals. Grey: some seed diverged.
    """
    plan, columns = surface.plan, len(surface.plan.batch_sizes)
    figure = style.new_figure(10.2, 6.0)
    trained = f"training loss after {plan.steps} steps · {plan.seeds} seeds"
    subtitle = f"digits_mlp, two hidden layers · adam · {trained} · dark: low"
    style.headline(figure, "Best learning rate over batch size and width", subtitle, left=0.075)
    for row, name in enumerate(PARAMETERIZATIONS):
        for column in range(columns):
            width = 0.9 / columns
            left, bottom = 0.075 + column * width, 0.51 - 0.41 * row
            axes = style.add_axes(figure, left=left, bottom=bottom, width=width - 0.02, height=0.32)
            _panel(axes, surface, name, column)
            title = f"{name}, batch {plan.batch_sizes[column]}"
            axes.set_title(title, fontsize=9, color=style.INK, loc="left")
            axes.set_ylabel("width" if column == 0 else "", fontsize=10, color=style.INK)
            axes.set_xlabel("learning rate" if row else "", fontsize=10, color=style.INK)
    return figure


def _panel(axes: Axes, surface: Surface, name: str, batch: int) -> None:
    """Shades of the mean log loss over its minimum at this batch size in either parameterization."""
    plan = surface.plan
    logs = {key: np.log(loss[:, batch]).mean(axis=1) for key, loss in surface.losses.items()}
    lowest = min(float(log.min()) for log in logs.values())
    excess = np.ma.masked_invalid(logs[name] - lowest)
    rate_edges = geometric_edges(np.array(plan.rates))
    width_edges = geometric_edges(np.array(plan.widths, float))
    axes.set_facecolor(style.FAINT)
    axes.pcolormesh(rate_edges, width_edges, excess, cmap="viridis", vmin=0, vmax=np.log(SHADES))
    best = surface.best(name, batch)
    rates, low, high = np.array([row.rate for row in best]).T
    axes.errorbar(
        rates,
        plan.widths,
        xerr=style.bars(rates, low, high),
        fmt="o-",
        color="white",
        ecolor="white",
        markeredgecolor=style.INK,
        markersize=5,
        linewidth=1.5,
    )
    style.log_axis(axes.xaxis, "", rate_edges[0], rate_edges[-1])
    axes.set_yscale("log", base=2)
    axes.set_ylim(width_edges[0], width_edges[-1])
    axes.set_yticks(plan.widths, [f"{width}" for width in plan.widths] if batch == 0 else [])
    axes.set_yticks([], minor=True)
    axes.grid(False)


if __name__ == "__main__":
    main()
