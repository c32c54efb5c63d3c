"""A search with a known answer, as the engine would hand it over, made without training."""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from lr_batch import BUDGET, DIVERGED, REACHED, Axis, Curve, EngineReport, Goal, Result, Searched
from lr_batch.analysis.rate_shapes import cliff

AXES = {
    "learning_rate": Axis("log", (1e-3, 10.0)),
    "momentum": Axis("log1m", (0.0, 0.99)),
    "end_factor": Axis("log", (1e-3, 1.0)),
}
SIZES = (16, 32, 64, 128, 256)
BUDGET_STEPS = 100_000
CLIFF = 5.0  # sharpness of the shape along the effective rate


def best_steps(batch_size):
    return 60.0 * (1.0 + 90.0 / np.asarray(batch_size, float))


def best_effective_rate(batch_size):
    return 4.0 / (1.0 + 90.0 / np.asarray(batch_size, float))


def log_steps(batch_size, setting, best_end_factor=0.03):
    """Of settings, columns by name: a cliff along the effective rate, parabolas along the others."""
    effective = setting["learning_rate"] / (1.0 - setting["momentum"])
    value = cliff(np.log(effective / best_effective_rate(batch_size)), CLIFF)[0]
    places = {name: AXES[name].to_unit(setting[name]) for name in ("momentum", "end_factor")}
    lowest = {"momentum": 0.5, "end_factor": AXES["end_factor"].to_unit(np.array([best_end_factor]))}
    bends = (0.5 * ((places[name] - lowest[name]) / 0.6) ** 2 for name in places)
    return np.log(best_steps(batch_size)) + value + sum(bends)


def searched_result(seed=0, *, trials=60, seeds=4, sizes=SIZES, noise=0.08, slack=2.0, **truth) -> Result:
    """Quasi-random settings, the same at all batch sizes, raced with a slack; beyond the cliff trials diverge."""
    rng = np.random.default_rng(seed)
    units = qmc.Sobol(len(AXES), rng=rng).random_base2(7)[:trials]
    setting = {name: axis.from_unit(units[:, i]) for i, (name, axis) in enumerate(AXES.items())}
    rows = []
    for size in sizes:
        exact = log_steps(size, setting, **truth)
        for number in range(seeds):
            level = 0.05 * rng.standard_normal()
            steps = np.exp(exact + level + noise * rng.standard_normal(trials))
            last = slack * steps.min()
            for i in range(trials):
                status = DIVERGED if not np.isfinite(steps[i]) else REACHED if steps[i] <= last else BUDGET
                values = {name: column[i] for name, column in setting.items()}
                reached = steps[i] if status == REACHED else np.nan
                rows.append((size, number, values, reached, 5 if status == DIVERGED else int(last), status))
    columns = list(zip(*rows, strict=True))
    return Result(
        workload="digits_mlp",
        optimizer="momentum",
        goal=Goal("loss", 0.2),
        budget=BUDGET_STEPS,
        batch_size=np.array(columns[0]),
        seed=np.array(columns[1]),
        hparams={name: np.array([values[name] for values in columns[2]]) for name in AXES},
        steps_to_goal=np.array(columns[3], float),
        steps=np.array(columns[4]),
        status=np.array(columns[5], object),
        curves=tuple(Curve(np.array([0]), np.array([2.3])) for _ in rows),
        engine=EngineReport(1.0, 0.0, 2, 1, "cpu", trials, 1.0),
        searched=Searched("quasi_random", AXES, trials),
    )
