"""What the captions say, read off what the recipes return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lr_batch import Estimate, estimate

if TYPE_CHECKING:
    from runs.curve.analysis import Analysis
    from runs.recipes.batch_schedule import Outcome
    from runs.recipes.bayes_model import Search1D
    from runs.recipes.coarse_to_fine_grid import Zoom
    from runs.recipes.dropout_effect import Dropout
    from runs.recipes.early_stopping import Stopped
    from runs.recipes.gradient_noise import GradientNoise
    from runs.recipes.gradient_paths import Contraction
    from runs.recipes.l2_and_weight_decay import Twins
    from runs.recipes.lagrangian import SolutionPath
    from runs.recipes.nine_panels_figure import Panel
    from runs.recipes.optimizer_memory import Memory
    from runs.recipes.random_vs_grid import Comparison
    from runs.recipes.rare_features import Learning
    from runs.recipes.rate_sensitivity import Sensitivity
    from runs.recipes.ridge import Ridge
    from runs.recipes.same_gradient import Update
    from runs.recipes.schedules import Training
    from runs.recipes.training_and_test_error import Errors

Numbers = Mapping[str, Any]


def schedules(found: Mapping[str, Training]) -> Numbers:
    ends = {name: training.mean() for name, training in found.items()}
    return {
        "high": ends["high"],
        "low": ends["low"],
        "decayed": ends["high, decayed linearly"],
        "cosine": ends["cosine with warm-up"],
        "cyclic": ends["cyclic"],
        "step": ends["step"],
        "steps": len(found["high"].rate),
    }


def rate_sensitivity(found: Mapping[str, Sensitivity]) -> Numbers:
    """Decades of good rates of each seed, where the grid holds both ends."""
    from runs.recipes.rate_sensitivity import sensitivity

    numbers: dict[str, Any] = {}
    for name, result in found.items():
        decades = np.array([sensitivity(result.rates, row[None]).decades for row in result.loss])
        numbers |= {f"{name}_decades": estimate(decades), f"{name}_rate": result.best_rate}
        numbers[f"{name}_loss"] = estimate(result.loss.min(axis=1))
    return numbers


def linear_scaling(analysis: Analysis) -> Numbers:
    """Local exponents of the law at a small and at a large batch size."""
    law = analysis.law
    if law is None:
        return {"law": "no law could be fitted", "small": 0.0, "large": 0.0, "smallest": 0.0, "largest": 0.0}
    ends = np.array([o.batch_size for o in analysis.optima if o.steps is not None])[[0, -1]]
    small, large = law.exponents(ends).each
    return {
        "law": law.winner.formula,
        "small": small,
        "large": large,
        "smallest": ends[0],
        "largest": ends[1],
    }


def perfect_scaling(analysis: Analysis) -> Numbers:
    critical = analysis.critical
    if critical is None:
        nothing = Estimate(float("inf"), float("inf"), float("inf"))
        return {"critical": nothing, "fewest_steps": nothing, "fewest_examples": nothing}
    return {
        "critical": Estimate(critical.value, critical.low, critical.high),
        "fewest_steps": Estimate(critical.s_min, critical.s_min_low, critical.s_min_high),
        "fewest_examples": Estimate(critical.e_min, critical.e_min_low, critical.e_min_high),
    }


def batch_schedule(outcomes: list[Outcome]) -> Numbers:
    return {"doubling": outcomes[0].doubling, "neither": outcomes[0].neither}


def gradient_paths(found: Mapping[str, Contraction]) -> Numbers:
    return {
        f"{title.split()[0].lower()}{suffix}": value
        for title, result in found.items()
        for suffix, value in (("", result.rate), ("_theory", result.theory))
    }


def rare_features(found: Mapping[str, Learning]) -> Numbers:
    """Steps to learn the rarest feature, and the power of its frequency that steps grow with."""
    from runs.recipes.rare_features import FREQUENCY

    numbers: dict[str, Any] = {}
    for name, result in found.items():
        logs = np.log(result.steps)
        slopes = np.array(
            [np.polyfit(np.log(FREQUENCY), row, 1)[0] for row in logs if np.isfinite(row).all()]
        )
        numbers |= {name: estimate(result.steps[:, -1]), f"{name}_power": estimate(slopes)}
    return numbers


def lagrangian(found: Mapping[str, SolutionPath]) -> Numbers:
    zeros = found["l1"]
    return {
        "distance": max(path.distance for path in found.values()),
        "zeros": int((zeros.penalised == 0).sum()),
        "same_zeros": "at the same places"
        if ((zeros.penalised == 0) == (zeros.constrained == 0)).all()
        else "not at the same places",
        "all": zeros.penalised.size,
    }


def ridge(found: Mapping[str, Ridge]) -> Numbers:
    full, few = found.values()
    return {
        "distance": max(full.distance, few.distance),
        "low": few.condition[0],
        "high": few.condition[-1],
        "low_lambda": few.lambdas[0],
        "high_lambda": few.lambdas[-1],
        "without": "solved" if few.without else "not determined",
    }


def random_vs_grid(found: Comparison) -> Numbers:
    """Best losses, and how many different rates a search of 27 trials tries in one repeat."""
    return {
        "random": Estimate(*found.ratio["random"]),
        "quasi_random": Estimate(*found.ratio["quasi_random"]),
        "grid_rates": len(np.unique(found.rates["grid"].round(12))),
        "random_rates": len(np.unique(found.rates["random"])),
    }


def every_schedule(found: Mapping[str, Training]) -> Numbers:
    """Under a constant rate, the lowest, and how many have the lowest inside their interval."""
    from runs.recipes.every_schedule import final

    ends = final(dict(found))
    lowest = min(ends, key=lambda name: ends[name].best)
    alike = [name for name, end in ends.items() if end.low <= ends[lowest].high]
    return {
        "constant": ends["constant"],
        "lowest": ends[lowest],
        "lowest_name": lowest,
        "alike": len(alike) - 1,
        "others": len(ends) - 1,
    }


def gradient_noise(found: GradientNoise) -> Numbers:
    return {"power": found.power, "scale": found.scale}


def same_gradient(found: Mapping[str, Update]) -> Numbers:
    return {name: update.rank for name, update in found.items()} | {
        "values": len(next(iter(found.values())).first)
    }


def optimizer_memory(found: Mapping[str, Memory]) -> Numbers:
    """State in bytes per parameter, and the largest difference between what is held and what was computed."""
    apart = max(abs(memory.state - memory.computed) for memory in found.values())
    names = ("sgd", "momentum", "adam", "lamb", "muon", "shampoo")
    states = {name: found[name].state for name in names if name in found}
    return dict.fromkeys(names, "not measured") | states | {"apart": apart}


def training_and_test_error(found: Mapping[int, Errors]) -> Numbers:
    narrow, widest = found[min(found)], found[max(found)]
    return {
        "train": estimate(widest.train[:, -1]),
        "test": estimate(widest.test[:, -1]),
        "least": widest.least,
        "width": max(found),
        "narrow": min(found),
        "narrow_train": estimate(narrow.train[:, -1]),
        "narrow_test": estimate(narrow.test[:, -1]),
    }


def early_stopping(found: Stopped) -> Numbers:
    return {
        "loss": found.loss,
        "error": found.error,
        "kept": estimate(found.epochs[found.kept]),
        "epochs": found.epochs[-1],
    }


def l2_and_weight_decay(found: Mapping[str, Twins]) -> Numbers:
    """Greatest distance over the strengths, of the geometric means over seeds."""
    numbers = {}
    for name, twin in found.items():
        rows = [estimate(np.log(np.maximum(column, 1e-12))) for column in twin.distance.T]
        worst = max(rows, key=lambda row: row.best)
        numbers[name] = Estimate(*np.exp(np.array(worst)).tolist())
    return numbers


def dropout_effect(found: Dropout) -> Numbers:
    shares = list(found.change)
    return {
        "none": estimate(found.error[0.0][:, -1]),
        "less": found.change[shares[0]],
        "more": found.change[shares[-1]],
        "less_share": shares[0],
        "more_share": shares[-1],
    }


def coarse_to_fine_grid(found: Zoom) -> Numbers:
    return {"ratio": found.ratio, "trials": len(found.stage), "even": len(found.even["learning_rate"])}


def bayes_model(found: Search1D) -> Numbers:
    return {"over_best": found.over_best, "inside": found.inside, "dense": len(found.dense)}


def nine_panels(found: Mapping[str, Panel]) -> Numbers:
    """What is said of each panel, without the doubt, and how many are doubted."""
    from runs.recipes.nine_panels import PANELS
    from runs.recipes.nine_panels_figure import DOUBT

    numbers: dict[str, Any] = dict.fromkeys(PANELS, "not measured")
    for letter, panel in found.items():
        what, size = panel.said
        size = size.removesuffix(DOUBT)
        numbers[letter] = size if panel.curve else f"{what} {size}"
    return numbers | {"doubted": sum(panel.said[1].endswith(DOUBT) for panel in found.values())}


def mu_transfer(summary: Mapping[str, Any]) -> Numbers:
    """Octaves by which the best rate moves from the narrowest to the widest network."""
    from runs.transfer.best_rate import octaves_text

    moved = summary["octaves_after_steps"][summary["steps"]]
    octaves = {name: octaves_text(row).replace("-", "−") for name, row in moved.items()}
    widths = summary["widths"]
    return {"standard": octaves["standard"], "mup": octaves["muP"], "narrow": widths[0], "wide": widths[-1]}
