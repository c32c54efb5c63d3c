"""What a search leaves behind: summary.json, figures, a table."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.table import Table

from hparam.tuning.confirm import Finalist
from hparam.tuning.importance import Importance, Surrogate, importance, surrogate
from hparam.tuning.tune import Tuning, one_blas_thread
from runs.text import Printer, table
from runs.tune.figures import best_so_far, parallel_coordinates
from runs.tune.model_figure import draw_importance, model_slice
from runs.write import write_json

SHOWN = 5  # settings in the table


def summarize(tuning: Tuning, model: Surrogate | None, shares: Importance | None) -> dict[str, Any]:
    """Content of `summary.json`: steps are optimizer steps, examples are trained on, `loss` names losses."""
    plan, study = tuning.plan, tuning.plan.study
    losses = np.concatenate([told.losses for told in tuning.rounds] or [[]])
    steps = tuning.rounds[-1].cost if tuning.rounds else 0
    now = tuning.trained_steps
    return {
        "workload": study.workload.name,
        "optimizer": study.optimizer_name,
        "batch_size": study.batch_sizes[0],
        "budget": study.max_steps,
        "loss": plan.loss_name,
        "search": plan.search,
        "space": {name: dimension.text for name, dimension in plan.space.dimensions.items()},
        "fixed": dict(plan.fixed),
        "segments": len(losses),
        "diverged": int(np.isinf(losses).sum()),
        "steps": steps,
        "examples": steps * study.batch_sizes[0],
        "trained_now": {"steps": now, "examples": now * study.batch_sizes[0]},
        "best": _finalist(tuning.finalists[0], plan.space) if tuning.finalists else None,
        "finalists": [_finalist(finalist, plan.space) for finalist in tuning.finalists],
        "importance": shares
        and {
            name: {"alone": float(alone), "total": float(total)}
            for name, alone, total in zip(plan.space.names, *shares, strict=True)
        },
        "importance_at_step": model and model.steps,
        "notes": list(notes(tuning)),
    }


def _finalist(finalist: Finalist, space) -> dict[str, Any]:
    low, high = finalist.interval or (None, None)
    return {
        "setting": finalist.setting,
        "labels": space.describe(finalist.setting),
        "loss_in_search": finalist.searched,
        "fresh_mean": finalist.mean,
        "low": low,
        "high": high,
        "fresh_seeds": len(finalist.fresh),
        "diverged": finalist.diverged,
    }


def notes(tuning: Tuning) -> tuple[str, ...]:
    """What a person should know about the outcome."""
    losses = np.concatenate([told.losses for told in tuning.rounds] or [[]])
    own = []
    if not len(losses):
        own.append("nothing was trained: the first segment costs more than --trials allows")
    elif not np.isfinite(losses).any():
        own.append("every trial diverged: try lower learning rates")
    if tuning.finalists:
        own += [*_edges(tuning), *_better_on_fresh_seeds(tuning)]
    return (*tuning.notes, *own)


def _better_on_fresh_seeds(tuning: Tuning) -> list[str]:
    """The finalist with the lowest mean on fresh seeds, where it is not the winner of the search."""
    winner = tuning.finalists[0]
    best = min(tuning.finalists, key=lambda f: np.inf if f.mean is None else f.mean)
    if best is winner or best.mean is None:
        return []
    labels = " ".join(f"{name}={label}" for name, label in tuning.plan.space.describe(best.setting).items())
    against = f"{winner.mean:.4g}" if winner.mean is not None else "a diverged seed"
    return [f"on fresh seeds {labels} did better: {best.mean:.4g} against {against} of the search's winner"]


def _edges(tuning: Tuning) -> list[str]:
    """Dimensions whose best value lies in the outer twentieth of its range."""
    space, best = tuning.plan.space, tuning.finalists[0].setting
    point = space.to_unit({name: np.array([value]) for name, value in best.items()})[0]
    return [
        f"the best {name} = {best[name]:.3g} lies on the {'lower' if u < 0.5 else 'upper'} edge "
        f"of {dimension.text}"
        for (name, dimension), u in zip(space.dimensions.items(), point, strict=True)
        if dimension.cells is None and abs(u - 0.5) > 0.45
    ]


def write_outcome(tuning: Tuning, folder: Path) -> dict[str, Any]:
    """Summary and figures into `folder`; returns the summary."""
    with one_blas_thread():
        model = surrogate(tuning.plan, tuning.state)
        shares = importance(model.posterior) if model else None
    summary = summarize(tuning, model, shares)
    write_json(folder / "summary.json", summary)
    best_so_far(tuning, folder / "best_so_far.png")
    parallel_coordinates(tuning, folder / "parallel_coordinates.png")
    if model and shares:
        if len(tuning.plan.space) > 1:  # of one hyperparameter there is nothing to compare
            draw_importance(tuning, model, shares, folder / "importance.png")
        model_slice(tuning, model, shares, folder / "model.png")
    return summary


def print_outcome(tuning: Tuning, summary: dict[str, Any], stream: IO[str]) -> None:
    """The best settings with what became of them on fresh seeds, and the notes."""
    say = Printer(stream)
    study = f"{summary['workload']} with {summary['optimizer']}, batch size {summary['batch_size']}"
    say(f"\n{study}: {summary['loss']}")
    say(best_table(tuning))
    cost = f"{summary['segments']} segments, {summary['diverged']} diverged, {summary['examples']:,} examples"
    say(f"{summary['search']}: {cost}")
    for note in summary["notes"]:
        say(note)


def best_table(tuning: Tuning) -> Table:
    """One row for each of the best settings."""
    headings = (*tuning.plan.space.names, "in the search", "on fresh seeds", "90 % interval", "seeds")
    return table(headings, [_cells(tuning, finalist) for finalist in tuning.finalists[:SHOWN]])


def _cells(tuning: Tuning, finalist: Finalist) -> tuple[str, ...]:
    labels = tuning.plan.space.describe(finalist.setting)
    diverged = f"{finalist.diverged} diverged" if finalist.diverged else ""
    return (
        *(labels.get(name, "") for name in tuning.plan.space.names),
        f"{finalist.searched:.4g}",
        f"{finalist.mean:.4g}" if finalist.mean is not None else diverged,
        "{:.4g} - {:.4g}".format(*finalist.interval) if finalist.interval else "",
        f"{len(finalist.fresh)}",
    )
