"""`lr-batch list`: what there is, by name."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from runs.commands.options import Flag, optional

if TYPE_CHECKING:
    from lr_batch import Workload
    from lr_batch.workloads import Panel

Kind = Literal["workloads", "optimizers", "schedules", "regularizers", "searches"]


@dataclasses.dataclass(frozen=True)
class List:
    """Show the workloads, optimizers, schedules, regularizers or searches that have a name."""

    kind: Annotated[Kind, tyro.conf.Positional]
    json: Flag = False
    """Print them as JSON on stdout."""
    memory: Annotated[str | None, optional("WORKLOAD")] = None
    """With optimizers: bytes of weights, gradient and optimizer state for the parameters of this workload."""

    def __call__(self) -> None:
        if self.memory and self.kind != "optimizers":
            raise ValueError(f"list {self.kind}: --memory goes with optimizers")
        rows = list(memory_rows(self.memory) if self.memory else ROWS[self.kind]())
        if self.json:
            from runs.write import json_text

            print(json_text(rows))
        else:
            print_rows(rows)


def workload_rows() -> Iterator[dict[str, Any]]:
    from lr_batch import WORKLOADS
    from lr_batch.workloads import PANELS

    for name, factory in WORKLOADS.items():
        cells = panel_cells(PANELS[name]) if name in PANELS else own_cells(factory())
        yield {"name": name, **cells, "about": first_line(factory).partition("; goal:")[0]}


def panel_cells(panel: Panel) -> dict[str, Any]:
    """What a panel asks and needs, at the scale that is meant where none is given; nothing is read."""
    from lr_batch.data import data_state

    return {
        "parameters": panel.scale().num_params,
        "data": panel.data,
        "state": data_state(panel.data),
        "goal": str(panel.scale().goal),
        "scales": {name: scale.num_params for name, scale in panel.scales.items()},
        "published": panel.published,
        "chosen": panel.chosen,
        "recipe": panel.recipe and panel.recipe._asdict(),
        "augment": panel.scale().augment,
    }


def own_cells(workload: Workload) -> dict[str, Any]:
    """The same of a workload whose data come with what is installed."""
    import jax

    params = jax.eval_shape(workload.init, jax.eval_shape(lambda: jax.random.key(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    data = {"parameters": count, "data": "comes along", "state": "prepared", "goal": str(workload.goal)}
    return {**data, "scales": {}, "published": "", "chosen": "", "recipe": None, "augment": None}


def optimizer_rows() -> Iterator[dict[str, Any]]:
    from optim import OPTIMIZERS

    for name, optimizer in OPTIMIZERS.items():
        rates = optimizer.space["learning_rate"]
        yield {
            "name": name,
            "learning rates": f"{rates[0]:g} to {rates[-1]:g}",
            "hyperparameters": ", ".join(f"{name} {valid}" for name, valid in optimizer.hparams.items()),
            "paper": optimizer.paper,
        }


def schedule_rows() -> Iterator[dict[str, Any]]:
    from lr_batch import SCHEDULES, Schedule

    for name, factory in SCHEDULES.items():
        parameters = ", ".join(Schedule(name).parameters)
        yield {"name": name, "parameters": parameters, "about": first_line(factory)}


def regularizer_rows() -> Iterator[dict[str, Any]]:
    from reg import REGULARIZERS

    for name, regularizer in REGULARIZERS.items():
        strengths = ", ".join(f"{name} {valid}" for name, valid in regularizer.hparams.items())
        yield {"name": name, "strengths": strengths, "paper": regularizer.paper}


def search_rows() -> Iterator[dict[str, Any]]:
    from hparam import SEARCHES

    for name, search in SEARCHES.items():
        yield {"name": name, "about": search.about, "source": search.paper}


JSON_ALONE = ("scales", "published", "chosen", "recipe", "augment")
ROWS = {
    "workloads": workload_rows,
    "optimizers": optimizer_rows,
    "schedules": schedule_rows,
    "regularizers": regularizer_rows,
    "searches": search_rows,
}


def memory_rows(workload: str) -> Iterator[dict[str, Any]]:
    """Bytes per parameter of every optimizer for a workload: weights, gradient, each slot of its state."""
    import jax

    from lr_batch import WORKLOADS
    from optim import OPTIMIZERS, state_bytes

    init = WORKLOADS[workload]().init
    params = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))
    for name, optimizer in OPTIMIZERS.items():
        memory = state_bytes(optimizer({}), params)
        per_param = memory.per_param
        slots = "  ".join(f"{slot} {per_param[slot]:.4g}" for slot in memory.state)
        yield {
            "optimizer": name,
            "weights": per_param["weights"],
            "gradient": per_param["gradient"],
            "state": slots,
            "total bytes per parameter": round(per_param["total"], 3),
            "total bytes": memory.total,
        }


def first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


def print_rows(rows: list[dict[str, Any]]) -> None:
    """As a table, less what is too long for a line of it."""
    from runs.text import Printer, table

    rows = [{name: cell for name, cell in row.items() if name not in JSON_ALONE} for row in rows]
    cells = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row.values()] for row in rows]
    Printer(sys.stdout)(table(list(rows[0]), cells, left=len(rows[0])))
