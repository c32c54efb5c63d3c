"""What `lr-batch regularize` writes and prints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any, NamedTuple

from lr_batch import BestStrength, Estimate, Generalization, StrengthRow, best_strengths, strength_rows
from runs.kept_json import write_kept
from runs.text import Printer, table
from runs.write import plain


class Outcome(NamedTuple):
    """All that is read off the trials."""

    rows: tuple[StrengthRow, ...]
    best: tuple[BestStrength, ...]
    summary: dict[str, Any]


def analyse(fits: Generalization) -> Outcome:
    """Performance at every strength, the best ones, and the summary."""
    rows, best = strength_rows(fits), best_strengths(fits)
    return Outcome(rows, best, summarize(fits, rows, best))


def summarize(
    fits: Generalization, rows: tuple[StrengthRow, ...], best: tuple[BestStrength, ...]
) -> dict[str, Any]:
    """Content of `summary.json`; intervals are 90 % over seeds, null where a seed diverged."""
    study = fits.study
    summary = {
        "workload": study.workload.name,
        "optimizer": study.optimizer_name,
        "regularizer": fits.regularizer.name,
        "strength": fits.regularizer.strength,
        "off": fits.regularizer.off,
        "metric": study.goal.metric,
        "epochs": fits.epochs,
        "seeds": study.seeds,
        "space": {name: list(values) for name, values in study.space.items()},
        "trials": len(fits.seed),
        "diverged": int((~fits.alive).sum()),
        "stopped_early": int(fits.stopped.sum()),
        "seconds": round(fits.seconds, 1),
        "strengths": [_row(fits, row) for row in rows],
        "best": [
            {
                "batch_size": entry.batch_size,
                "strength": entry.best,
                "low": entry.low,
                "high": entry.high,
                "gain": _interval(entry.gain),
            }
            for entry in best
        ],
    }
    return plain(summary)


def _row(fits: Generalization, row: StrengthRow) -> dict[str, Any]:
    return {
        "batch_size": row.batch_size,
        "strength": row.strength,
        **row.others,
        "edge": edge(fits, row),
        "held_out": _interval(row.held_out),
        "train": _interval(row.train),
        "gap": _interval(row.gap),
        "weight_norm": fits.outcome(fits.weight_norm)[row.trials].mean(),
        "sparsity": fits.outcome(fits.sparsity)[row.trials].mean(),
    }


def _interval(value: Estimate | None) -> dict[str, float | None] | None:
    return value and value._asdict()


def write_outcome(fits: Generalization, folder: Path) -> Outcome:
    """Summary and figures into `folder`."""
    from runs.regularize import figures as plots
    from runs.regularize.report import write_report

    outcome = analyse(fits)
    write_kept(folder / "summary.json", outcome.summary)
    write_report(fits, outcome, folder)
    plots.strength_curves(fits, outcome.rows, outcome.best, folder / "strengths.png")
    plots.weights(fits, outcome.rows, folder / "weights.png")
    plots.training(fits, outcome.rows, outcome.best, folder / "training.png")
    if fits.confidence.shape[1]:
        plots.confidence(fits, outcome.rows, outcome.best, folder / "confidence.png")
    return outcome


def print_outcome(fits: Generalization, outcome: Outcome, stream: IO[str]) -> None:
    """The table of strengths, and one sentence for each batch size."""
    say, metric = Printer(stream), fits.study.goal.metric
    strength = fits.regularizer.strength
    headings = ("batch", strength, f"held-out {metric}", f"train {metric}", "gap", "rate")
    say(table(headings, [_cells(fits, row) for row in outcome.rows]))
    if any(edge(fits, row) for row in outcome.rows):
        say("* on the edge of the grid: better rates may lie beyond; see --learning-rates")
    for entry in outcome.best:
        say(sentence(fits, entry))


def _cells(fits: Generalization, row: StrengthRow) -> tuple[str, ...]:
    rate = f"{row.others['learning_rate']:.3g}{' *' if edge(fits, row) else ''}"
    parts = level_text(row.held_out), level_text(row.train, ends=False), interval_text(row.gap)
    return (str(row.batch_size), strength_text(fits, row.strength), *parts, rate)


def edge(fits: Generalization, row: StrengthRow) -> str | None:
    """ "low" or "high" where the best learning rate is the first or last of several."""
    rates = sorted(fits.study.space["learning_rate"])
    if len(rates) == 1:
        return None
    return {rates[0]: "low", rates[-1]: "high"}.get(row.others["learning_rate"])


def sentence(fits: Generalization, entry: BestStrength) -> str:
    """What the best strength of one batch size is, and what it buys."""
    regularizer, text = fits.regularizer, lambda strength: strength_text(fits, strength)
    line = f"Batch size {entry.batch_size}: best {regularizer.strength} {text(entry.best)}"
    if entry.low != entry.high:
        line += f"; {text(entry.low)} to {text(entry.high)} cannot be told from it"
    if entry.best == regularizer.off:
        return f"{line}. No strength does better."
    if entry.gain is None:
        return f"{line}."
    best, low, high = entry.gain
    if not math.isfinite(best):
        return f"{line}. Without it a trial diverged."
    helps = "helps" if low > 0 else "harms" if high < 0 else "no gain to be seen"
    size = entry.gain if best >= 0 else Estimate(-best, -high, -low)
    moved = "falls" if (best >= 0) != fits.study.goal.above else "rises"
    return (
        f"{line}. Held-out {fits.study.goal.metric} {moved} by {interval_text(size)} against none, where "
        f"each seed takes the setting that is best on the other seeds: {helps}."
    )


def strength_text(fits: Generalization, strength: float) -> str:
    return "off" if strength == fits.regularizer.off else f"{strength:.3g}"


def level_text(value: Estimate, *, ends: bool = True) -> str:
    """`0.1234 (0.12 to 0.127)`: of what is never negative no interval is symmetric. Without `ends` the number alone."""
    if not math.isfinite(value.best):
        return "diverged"
    return f"{value.best:.4g}" + (f" ({value.low:.3g} to {value.high:.3g})" if ends else "")


def interval_text(value: Estimate) -> str:
    """`0.1234 ± 0.0031` of a difference, with the half of Student's interval, which is symmetric."""
    if not math.isfinite(value.best):
        return "diverged"
    return f"{value.best:.4g} ± {value.high - value.best:.2g}"
