"""Figures of `lr-batch regularize`: performance, weights, training and confidence against the strength."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from lr_batch.generalization import Generalization
from lr_batch.strength import BestStrength, StrengthRow, estimate
from runs.plots import style

COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
LEVEL = 0.95


def strength_curves(
    fits: Generalization,
    rows: Sequence[StrengthRow],
    best: Sequence[BestStrength],
    path: str | Path | None = None,
) -> Figure:
    """Held-out (filled) and training metric (hollow) against the strength, a colour for each batch size.

    Error bars are 95 % intervals over seeds, stars the best strengths. Written to `path` if given.
    """
    figure, axes = _new(
        fits, f"{style.plain(fits.study.goal.metric)} against the strength of the regularizer"
    )
    for colour, entry in zip(_colours(fits), best, strict=True):
        mine = [row for row in rows if row.batch_size == entry.batch_size]
        label = f"batch {entry.batch_size}"
        _errorbars(axes, mine, [row.held_out for row in mine], colour, f"{label}, held out", filled=True)
        _errorbars(axes, mine, [row.train for row in mine], colour, f"{label}, training", filled=False)
        chosen = next(i for i, row in enumerate(mine) if row.strength == entry.best)
        if np.isfinite(mine[chosen].held_out.best):
            axes.plot(
                chosen, mine[chosen].held_out.best, "*", color=colour, markersize=16, markeredgecolor="white"
            )
    _strength_axis(axes, fits, rows)
    _metric_axis(axes)
    axes.set_ylabel(fits.study.goal.metric, fontsize=10, color=style.INK)
    style.legend_below(axes)
    return style.save(figure, path)


def weights(fits: Generalization, rows: Sequence[StrengthRow], path: str | Path | None = None) -> Figure:
    """Norm of the weights (left) and share of weights that are exactly zero (right) against the strength."""
    figure = style.new_figure(9.4, 4.8)
    style.headline(figure, "Weights at the end of training, at the best learning rate", _subtitle(fits), 0.07)
    panels = [
        style.add_axes(figure, left=left, width=0.405, bottom=0.2, height=0.65) for left in (0.07, 0.565)
    ]
    quantities = (
        (fits.weight_norm, "norm of the weights"),
        (fits.sparsity, "share of weights that are zero"),
    )
    for axes, (curve, label) in zip(panels, quantities, strict=True):
        for colour, batch_size in zip(_colours(fits), fits.study.batch_sizes, strict=True):
            mine = [row for row in rows if row.batch_size == batch_size]
            values = [estimate(fits.outcome(curve)[row.trials], LEVEL) for row in mine]
            _errorbars(axes, mine, values, colour, f"batch {batch_size}", filled=True)
        _strength_axis(axes, fits, rows)
        axes.set_ylabel(label, fontsize=10, color=style.INK)
    panels[0].set_ylim(bottom=0.0)
    panels[1].set_ylim(-0.02, 1.02)
    _legend(figure, panels[0])
    return style.save(figure, path)


def training(
    fits: Generalization,
    rows: Sequence[StrengthRow],
    best: Sequence[BestStrength],
    path: str | Path | None = None,
) -> Figure:
    """Held-out and training metric along the training at the best strength, seed 0, one panel a batch size.

    Of early stopping it is the best patience that does stop. A dot marks the evaluation whose parameters are
    kept: the last one, or the best before early stopping.
    """
    best = best[:3]
    figure = style.new_figure(max(6.4, 4.0 * len(best)), 4.6)
    left, gap = 0.45 / len(best) ** 0.5 * 0.2, 0.08 if len(best) > 1 else 0.0
    width = (0.97 - left - gap * (len(best) - 1)) / len(best)
    style.headline(
        figure, f"Training at the best strength: {style.plain(fits.study.goal.metric)}", _subtitle(fits), left
    )
    for number, entry in enumerate(best):
        strength = entry.best
        if fits.study.regularizer.stop:
            mine = [row for row in rows if row.batch_size == entry.batch_size]
            strength = _compared(fits, mine)[-1].strength
        axes = style.add_axes(
            figure, left=left + number * (width + gap), width=width, bottom=0.22, height=0.6
        )
        _draw_training(axes, fits, entry.batch_size, strength)
    _legend(figure, axes)
    return style.save(figure, path)


def confidence(
    fits: Generalization,
    rows: Sequence[StrengthRow],
    best: Sequence[BestStrength],
    path: str | Path | None = None,
) -> Figure:
    """How sure the network is of held-out examples (left), and how often it is right when it is (right).

    Without regularization and at the best strength other than off, at the first batch size, all seeds
    together.
    """
    figure = style.new_figure(9.4, 4.8)
    style.headline(
        figure, f"Confidence on held-out examples, batch {best[0].batch_size}", _subtitle(fits), 0.07
    )
    panels = [
        style.add_axes(figure, left=left, width=0.405, bottom=0.2, height=0.65) for left in (0.07, 0.565)
    ]
    bins = fits.confidence.shape[1]
    centres = (np.arange(bins) + 0.5) / bins
    compared = _compared(fits, [row for row in rows if row.batch_size == best[0].batch_size])
    for colour, row in zip((style.MUTED, style.BLUE), compared, strict=False):
        counts, right = fits.confidence[row.trials].sum(axis=0), fits.correct[row.trials].sum(axis=0)
        label = f"{fits.study.regularizer.strength} {_text(fits, row.strength)}"
        panels[0].stairs(
            counts / counts.sum(), np.linspace(0, 1, bins + 1), color=colour, linewidth=1.8, label=label
        )
        some = counts >= 10  # a share of fewer examples is noise
        panels[1].plot(
            centres[some], right[some] / counts[some], "o-", color=colour, markersize=4, label=label
        )
    panels[1].plot(
        [0, 1], [0, 1], color=style.INK, linewidth=0.9, linestyle=(0, (4, 3)), label="as sure as right"
    )
    for axes, label in zip(panels, ("share of examples", "share that is right"), strict=True):
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability of the likeliest class", fontsize=10, color=style.INK)
        axes.set_ylabel(label, fontsize=10, color=style.INK)
    panels[0].set_yscale("log")
    panels[0].set_ylim(1e-3, 1.2)
    _legend(figure, panels[1])
    return style.save(figure, path)


def _draw_training(axes: Axes, fits: Generalization, batch_size: int, strength: float) -> None:
    metric, name = fits.study.goal.metric, fits.study.regularizer.strength
    mine = (fits.batch_size == batch_size) & (fits.hparams[name] == strength) & (fits.seed == 0)
    trials = np.flatnonzero(mine)
    trial = trials[np.argmin(fits.outcome(fits.held_out[metric])[trials])]
    epochs = fits.steps[trial] / fits.steps[trial][-1] * fits.epochs
    end = None
    if fits.stopped[trial]:  # the lane stands still from there on
        held_out = fits.held_out[metric][trial]
        end = int(np.flatnonzero(held_out != held_out[-1]).max(initial=0)) + 2
    axes.plot(
        epochs[:end], fits.held_out[metric][trial][:end], color=style.BLUE, linewidth=1.8, label="held out"
    )
    axes.plot(
        epochs[:end], fits.train[metric][trial][:end], color=style.ORANGE, linewidth=1.4, label="training"
    )
    kept = fits.kept_eval[trial]
    axes.plot(
        epochs[kept], fits.held_out[metric][trial][kept], "o", color=style.VERMILION, markersize=8,
        label=f"kept: {'best before the stop' if fits.stopped[trial] else 'the outcome'}",
    )  # fmt: skip
    _metric_axis(axes)
    axes.set_xlabel("epochs", fontsize=10, color=style.INK)
    title = f"batch {batch_size}, {name} {_text(fits, strength)}, step {fits.steps[trial][kept]}"
    axes.set_title(style.plain(title), fontsize=9.5, color=style.INK)


def _compared(fits: Generalization, rows: Sequence[StrengthRow]) -> list[StrengthRow]:
    off = [row for row in rows if row.strength == fits.study.regularizer.off]
    on = [row for row in rows if row not in off and np.isfinite(row.held_out.best)]
    return [*off, *sorted(on, key=lambda row: row.held_out.best)[:1]]


def _errorbars(axes: Axes, rows, values, colour: str, label: str, *, filled: bool) -> None:
    middle, low, high = np.array([tuple(value) for value in values]).T
    some = np.isfinite(middle)
    axes.errorbar(
        np.arange(len(rows))[some], middle[some], fmt="o",
        yerr=style.bars(middle[some], low[some], high[some]),
        linestyle="-" if filled else (0, (4, 2)), color=colour, markerfacecolor=colour if filled else "white",
        markersize=5, linewidth=1.4, elinewidth=0.9, label=label,
    )  # fmt: skip


def _strength_axis(axes: Axes, fits: Generalization, rows: Sequence[StrengthRow]) -> None:
    """One place for each strength: they may hold 0 and a bound that is off."""
    grid = sorted({row.strength for row in rows})
    axes.set_xticks(range(len(grid)), [_text(fits, strength) for strength in grid])
    axes.set_xlim(-0.4, len(grid) - 0.6)
    axes.set_xlabel(fits.study.regularizer.strength.replace("_", " "), fontsize=10, color=style.INK)


def _legend(figure: Figure, axes: Axes) -> None:
    """What `axes` shows, in the strip below all panels."""
    handles = axes.get_legend_handles_labels()[0]
    figure.legend(
        handles=handles, loc="center", bbox_to_anchor=(0.5, 0.045), ncols=6, frameon=False,
        fontsize=style.SMALL,
    )  # fmt: skip


def _metric_axis(axes: Axes) -> None:
    """Log axis with plain numbers; an interval that reaches down to 0 leaves it at the bottom."""
    axes.set_yscale("log", nonpositive="clip")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.compact(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _text(fits: Generalization, strength: float) -> str:
    return "off" if strength == fits.study.regularizer.off else f"{strength:.3g}"


def _new(fits: Generalization, title: str) -> tuple[Figure, Axes]:
    figure = style.new_figure(7.6, 5.2)
    axes = style.add_axes(figure, bottom=0.2, height=0.645)
    style.headline(figure, title[:1].upper() + title[1:], _subtitle(fits))
    return figure, axes


def _subtitle(fits: Generalization) -> str:
    study = fits.study
    names = f"{style.plain(study.workload.name)} · {style.plain(study.optimizer_name)}"
    return f"{names} · {fits.epochs:g} epochs · {study.seeds} seeds"


def _colours(fits: Generalization) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(fits.study.batch_sizes))]
