"""Figures of `lr-batch regularize`: performance, weights, training and confidence against the strength."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtri

from lr_batch import LEVEL, BestStrength, Generalization, StrengthRow, positive_estimate
from runs.plots import style
from runs.regularize.axes import errorbars, highest, legend, log_axis, shifts, strength_axis
from runs.regularize.outcome import strength_text

COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)


def strength_curves(
    fits: Generalization,
    rows: Sequence[StrengthRow],
    best: Sequence[BestStrength],
    path: str | Path | None = None,
) -> Figure:
    """Held-out (filled) and training metric (hollow) against the strength, a colour for each batch size.

    Error bars are 90 % intervals over seeds, stars the best strengths. Written to `path` if given.
    """
    figure, axes = _new(
        fits, f"{style.plain(fits.study.goal.metric)} against the strength of the regularizer"
    )
    beside = shifts(2 * len(best))
    for number, (colour, entry) in enumerate(zip(_colours(fits), best, strict=True)):
        mine = [row for row in rows if row.batch_size == entry.batch_size]
        label, shift = f"batch {entry.batch_size}", beside[2 * number]
        errorbars(axes, [row.held_out for row in mine], colour, f"{label}, held out", shift)
        errorbars(
            axes,
            [row.train for row in mine],
            colour,
            f"{label}, training",
            beside[2 * number + 1],
            filled=False,
        )
        chosen = next(i for i, row in enumerate(mine) if row.strength == entry.best)
        if np.isfinite(height := mine[chosen].held_out.best):
            axes.plot(chosen + shift, height, "*", color=colour, markersize=16, markeredgecolor="white")
    strength_axis(axes, fits, rows)
    log_axis(axes, fits.study.goal.metric)
    style.legend_below(axes)
    return style.save(figure, path)


def weights(fits: Generalization, rows: Sequence[StrengthRow], path: str | Path | None = None) -> Figure:
    """Norm of the weights against the strength; and the share of them that are exactly zero, where any are."""
    quantities = [(fits.weight_norm, "norm of the weights")]
    if (fits.outcome(fits.sparsity)[fits.alive] > 0).any():
        quantities.append((fits.sparsity, "share of weights that are zero"))
    wide = 4.7 * len(quantities) + (2.5 if len(quantities) == 1 else 0.0)
    figure = style.new_figure(wide, 4.8)
    title, left = "Weights at the end of training, at the best learning rate", 0.75 / wide
    style.headline(figure, title, f"{_subtitle(fits)} · bars: 90 % intervals", left)
    width = 0.97 / len(quantities) - left - 0.01
    panels = [
        style.add_axes(figure, left=left + 0.495 * i, width=width, bottom=0.2, height=0.65)
        for i in range(len(quantities))
    ]
    for axes, (curve, label) in zip(panels, quantities, strict=True):
        sizes = fits.study.batch_sizes
        for colour, shift, batch_size in zip(_colours(fits), shifts(len(sizes)), sizes, strict=True):
            mine = [row for row in rows if row.batch_size == batch_size]
            values = [positive_estimate(fits.outcome(curve)[row.trials], LEVEL) for row in mine]
            errorbars(axes, values, colour, f"batch {batch_size}", shift)
        strength_axis(axes, fits, rows)
        axes.set_ylabel(label, fontsize=10, color=style.INK)
    panels[0].set_ylim(0.0, highest(panels[0]))
    for axes in panels[1:]:
        axes.set_ylim(-0.02, 1.02)
    legend(figure, panels[0])
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
    inches = max(6.4, 4.0 * len(best))
    figure = style.new_figure(inches, 4.6)
    left, gap = 0.8 / inches, 0.6 / inches
    width = (0.97 - left - gap * (len(best) - 1)) / len(best)
    style.headline(figure, "Training at the best strength", f"{_subtitle(fits)} · drawn: seed 0", left)
    for number, entry in enumerate(best):
        strength = entry.best
        if fits.regularizer.stop:
            mine = [row for row in rows if row.batch_size == entry.batch_size]
            strength = _compared(fits, mine)[-1].strength
        axes = style.add_axes(
            figure, left=left + number * (width + gap), width=width, bottom=0.22, height=0.6
        )
        _draw_training(axes, fits, entry.batch_size, strength)
        log_axis(axes, fits.study.goal.metric if number == 0 else "")
    legend(figure, axes)
    return style.save(figure, path)


def confidence(
    fits: Generalization,
    rows: Sequence[StrengthRow],
    best: Sequence[BestStrength],
    path: str | Path | None = None,
) -> Figure:
    """How sure the network is of held-out examples (left), and how often it is right when it is (right).

    Without regularization and at the best strength other than off, at the first batch size, all seeds
    together. Error bars are 90 % intervals of Wilson, for shares of that many examples.
    """
    figure = style.new_figure(9.4, 4.8)
    title = f"Confidence on held-out examples, batch {best[0].batch_size}"
    style.headline(figure, title, f"{_subtitle(fits)} together · bars: 90 % intervals", 0.08)
    panels = [
        style.add_axes(figure, left=left, width=0.395, bottom=0.2, height=0.65) for left in (0.08, 0.575)
    ]
    bins = fits.confidence.shape[1]
    centres = (np.arange(bins) + 0.5) / bins
    compared = _compared(fits, [row for row in rows if row.batch_size == best[0].batch_size])
    for colour, row in zip((style.MUTED, style.BLUE), compared, strict=False):
        counts, right = fits.confidence[row.trials].sum(axis=0), fits.correct[row.trials].sum(axis=0)
        label = f"{fits.regularizer.strength} {strength_text(fits, row.strength)}"
        panels[0].stairs(
            counts / counts.sum(), np.linspace(0, 1, bins + 1), color=colour, linewidth=1.8, label=label
        )
        some = counts >= 10  # a share of fewer examples is noise
        share, low, high = wilson(right[some], counts[some])
        panels[1].errorbar(
            centres[some],
            share,
            yerr=style.bars(share, low, high),
            fmt="o-",
            color=colour,
            markersize=4,
            elinewidth=0.9,
            label=label,
        )
    panels[1].plot(
        [0, 1], [0, 1], color=style.INK, linewidth=0.9, linestyle=(0, (4, 3)), label="as sure as right"
    )
    for axes in panels:
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability of the likeliest class", fontsize=10, color=style.INK)
    panels[1].set_ylabel("share that is right", fontsize=10, color=style.INK)
    panels[0].set_ylim(1e-3, 1.2)
    log_axis(panels[0], "share of examples")
    legend(figure, panels[1])
    return style.save(figure, path)


def wilson(right: Float[np.ndarray, " n"], counts: Float[np.ndarray, " n"]) -> tuple[np.ndarray, ...]:
    """Shares `right / counts`, and their intervals (Wilson, 1927, at 90 %)."""
    share, z2 = right / counts, float(ndtri(0.5 + LEVEL / 2)) ** 2
    middle = (share + z2 / (2 * counts)) / (1 + z2 / counts)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * counts)) / counts) / (1 + z2 / counts)
    return share, middle - half, middle + half


def _draw_training(axes: Axes, fits: Generalization, batch_size: int, strength: float) -> None:
    metric, name = fits.study.goal.metric, fits.regularizer.strength
    mine = (fits.batch_size == batch_size) & (fits.hparams[name] == strength) & (fits.seed == 0)
    trials = np.flatnonzero(mine)
    trial = trials[np.argmin(fits.cost(fits.held_out)[trials])]
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
        epochs[kept],
        fits.held_out[metric][trial][kept],
        "o",
        color=style.VERMILION,
        markersize=8,
        label=f"kept: {'best before the stop' if fits.stopped[trial] else 'the outcome'}",
    )
    axes.set_xlabel("epochs", fontsize=10, color=style.INK)
    title = (
        f"batch {batch_size}, {name} {strength_text(fits, strength)}, kept at step {fits.steps[trial][kept]}"
    )
    axes.set_title(style.plain(title), fontsize=9.5, color=style.INK)


def _compared(fits: Generalization, rows: Sequence[StrengthRow]) -> list[StrengthRow]:
    off = [row for row in rows if row.strength == fits.regularizer.off]
    on = [row for row in rows if row not in off and np.isfinite(row.held_out.best)]
    return [*off, *sorted(on, key=lambda row: row.held_out.best)[:1]]


def _new(fits: Generalization, title: str) -> tuple[Figure, Axes]:
    figure = style.new_figure(7.6, 5.2)
    axes = style.add_axes(figure, bottom=0.2, height=0.645)
    bars = "bars: 90 % intervals · star: best held out"
    style.headline(figure, title[:1].upper() + title[1:], f"{_subtitle(fits)} · {bars}")
    return figure, axes


def _subtitle(fits: Generalization) -> str:
    study = fits.study
    names = f"{style.plain(study.workload.name, 24)} · {style.plain(study.optimizer_name, 30)}"
    return f"{names} · {fits.epochs:g} epochs · {len(study.seed_numbers)} seeds"


def _colours(fits: Generalization) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(fits.study.batch_sizes))]
