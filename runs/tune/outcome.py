"""What a search leaves behind: summary.json, figures, a table."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.table import Table

from hparam import Space
from hparam.tuning.answer import LEVEL, Answer
from hparam.tuning.confirm import Finalist
from hparam.tuning.importance import Importance, Surrogate, importance, surrogate
from hparam.tuning.tune import Tuning, one_blas_thread
from optim.names import counted
from runs.kept_json import write_kept
from runs.text import Printer, table
from runs.tune.figures import best_so_far, parallel_coordinates
from runs.tune.hyperparameters import hyperparameters
from runs.tune.model_figure import draw_importance, model_slice
from runs.tune.report import write_report

SHOWN = 5  # settings in the table
FEW_SEEDS = 4  # fewer tell only what differs by many times their spread


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
        "answer": _answer(tuning),
        "finalists": [_finalist(finalist, plan.space) for finalist in tuning.finalists],
        "importance": shares
        and {
            name: {"alone": float(alone), "total": float(total)}
            for name, alone, total in zip(plan.space.names, *shares, strict=True)
        },
        "importance_at_step": model and model.steps,
        "notes": list(notes(tuning)),
    }


def _answer(tuning: Tuning) -> dict[str, Any] | None:
    """The setting to use, what it reaches, and those that cannot be told from it by their place among `finalists`."""
    found = tuning.answer
    if found is None:
        return None
    place = lambda finalist: next(i for i, other in enumerate(tuning.finalists) if other is finalist)
    return {
        "setting": found.setting,
        "labels": tuning.plan.space.describe(found.setting),
        "reaches": found.reaches and found.reaches._asdict(),
        "level": LEVEL,
        "fresh_seeds": found.seeds,
        "as_good": [place(finalist) for finalist in found.as_good],
        "told_apart": [place(finalist) for finalist in found.worse],
    }


def _finalist(finalist: Finalist, space: Space) -> dict[str, Any]:
    _, low, high = finalist.interval or (None, None, None)
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
    return (*tuning.notes, *own, *_edges(tuning))


def _edges(tuning: Tuning) -> list[str]:
    """Dimensions whose value in the answer lies in the outer twentieth of its range."""
    if tuning.answer is None:
        return []
    space, best = tuning.plan.space, tuning.answer.setting
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
    write_kept(folder / "summary.json", summary)
    write_report(tuning, summary, advice(tuning, tuning.answer) if tuning.answer else "", folder)
    best_so_far(tuning, folder / "best_so_far.png")
    hyperparameters(tuning, folder / "hyperparameters.png")
    if len(tuning.plan.space) > 1:  # of one hyperparameter the figure above says all
        parallel_coordinates(tuning, folder / "parallel_coordinates.png")
    if model and shares:
        if len(tuning.plan.space) > 1:  # of one hyperparameter there is nothing to compare
            draw_importance(tuning, model, shares, folder / "importance.png")
        model_slice(tuning, model, shares, folder / "model.png")
    return summary


def print_outcome(tuning: Tuning, summary: dict[str, Any], stream: IO[str]) -> None:
    """The setting to use, the others with what became of them on fresh seeds, and the notes."""
    say = Printer(stream)
    study = f"{summary['workload']} with {summary['optimizer']}, batch size {summary['batch_size']}"
    say(f"\n{study}: {summary['loss']}")
    if tuning.answer:
        say(best_table(tuning, tuning.answer))
        say(advice(tuning, tuning.answer))
    cost = f"{summary['segments']} segments, {summary['diverged']} diverged, {summary['examples']:,} examples"
    say(f"{summary['search']}: {cost}")
    for note in summary["notes"]:
        say(note)


def advice(tuning: Tuning, found: Answer) -> str:
    """What to use, what it reaches, and how sure that is, in sentences."""
    use = " ".join(f"{name}={label}" for name, label in tuning.plan.space.describe(found.setting).items())
    if not found.seeds:
        return f"Use {use}: the best of the search, which is optimistic; --confirm 8 says what it reaches on fresh seeds."
    if found.reaches is None:
        one = next(finalist for finalist in tuning.finalists if finalist.setting == found.setting)
        if one.diverged:
            said = f"it diverged on {one.diverged} of {counted(found.seeds, 'fresh seed')}, the others no less often"
            return f"No setting to rely on: the best is {use}, but {said}. Try lower learning rates."
        return f"Use {use}: {one.mean:.4g} on one fresh seed, which says nothing of the spread; --confirm 8 does."
    best, low, high = found.reaches
    return (
        f"Use {use}: {tuning.plan.loss_name} of {best:.4g} on fresh seeds, {LEVEL:.0%} interval {low:.4g} to {high:.4g} "
        f"({found.seeds} seeds, none of the search; each counts with the setting that the others choose). "
        + _others(found)
    )


def _others(found: Answer) -> str:
    if not found.as_good + found.worse:
        return "There is no other finalist."
    if not found.as_good:
        many = "The other finalist" if len(found.worse) == 1 else f"All {len(found.worse)} other finalists"
        return f"{many} did worse by more than chance."
    if len(found.as_good + found.worse) == 1:
        return f"The other finalist cannot be told from it: {_way_out(found)}."
    many = f"{len(found.as_good)} of the {counted(len(found.as_good + found.worse), 'other finalist')}"
    return f"{many} cannot be told from it: {_way_out(found)}."


def _way_out(found: Answer) -> str:
    if found.seeds < FEW_SEEDS:
        return f"{found.seeds} fresh seeds tell little, --confirm 8 tells more"
    return "take the one that suits you, or more seeds with --confirm"


def best_table(tuning: Tuning, found: Answer) -> Table:
    """One row for each of the finalists, those first that did best on fresh seeds."""
    headings = (*tuning.plan.space.names, "in the search", "on fresh seeds", "90 % interval", "seeds", "")
    chosen = next(finalist for finalist in tuning.finalists if finalist.setting == found.setting)
    said = [(chosen, "use this")]
    said += [(one, "perhaps as good" if found.seeds > 1 else "") for one in found.as_good]
    said += [(one, "worse") for one in found.worse]
    return table(headings, [(*_cells(tuning, one), word) for one, word in said[:SHOWN]])


def _cells(tuning: Tuning, finalist: Finalist) -> tuple[str, ...]:
    labels = tuning.plan.space.describe(finalist.setting)
    diverged = f"{finalist.diverged} diverged" if finalist.diverged else ""
    return (
        *(labels.get(name, "") for name in tuning.plan.space.names),
        f"{finalist.searched:.4g}",
        f"{finalist.mean:.4g}" if finalist.mean is not None else diverged,
        "{1:.4g} - {2:.4g}".format(*finalist.interval) if finalist.interval else "",
        f"{len(finalist.fresh)}",
    )
