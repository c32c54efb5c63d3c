"""What else moves the critical batch size: one choice at a time is changed, everything else kept, seeds paired.

    python -m runs.recipes.choices                     # digits_mlp with SGD, about twelve default studies
    python -m runs.recipes.choices --workload digits_cnn --time-limit 3600

Printed and written to `choices.json`: the ratio to the default study of B_crit, S_min and E_min, with intervals. The
order of examples is always without replacement, so that choice is not among them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import numpy as np

import lr_batch
from lr_batch import Goal, Study
from runs.write import write_atomically

FOLDER = Path("runs/results/choices")
QUICK = {"batch_sizes": (32, 64, 128, 256), "seeds": 2}


def variants(default: Study) -> dict[str, Mapping[str, Any]]:
    """Arguments of a `Study` that differ from those of `default`, by the name of the choice."""
    goal, rates, sizes = default.goal, default.space["learning_rate"], default.batch_sizes
    eased = lambda factor: Goal(goal.metric, goal.threshold * factor, goal.above)
    return {
        "goal 1.5 times as far": {"goal": eased(1.5)},
        "goal 0.75 times as far": {"goal": eased(0.75)},
        "reached at the first evaluation": {"reached": "first"},
        "evaluations 4 % apart": {"evaluation_growth": 0.04},
        "evaluations 16 % apart": {"evaluation_growth": 0.16},
        "slack 3": {"slack": 3.0},
        "slack 8": {"slack": 8.0},
        "rates half a step lower": {"space": {"learning_rate": _between(rates)}},
        "twice the rates": {"space": {"learning_rate": tuple(sorted((*rates, *_between(rates))))}},
        "half the rates": {"space": {"learning_rate": rates[::2]}},
        "every second batch size": {"batch_sizes": sizes[::2]},
        "without the two smallest batch sizes": {"batch_sizes": sizes[2:]},
        "lanes one by one": {"lanes": "map"},
        "lanes in blocks": {"lanes": "blocks"},
    }


def _between(rates: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(f"{rate:.6g}") for rate in np.sqrt(np.multiply(rates[1:], rates[:-1])))


def measure(
    make: Callable[..., Study], names: Sequence[str] | None, time_limit: float
) -> dict[str, dict[str, Any]]:
    """Ratios to the default study by choice; no choice is begun after `time_limit` seconds."""
    began, default = time.monotonic(), make()
    base = lr_batch.critical_batch_size(lr_batch.run(default))
    print(
        f"default: B_crit {base.value:.1f} ({base.low:.1f} to {base.high:.1f}), E_min {base.e_min:.0f}",
        flush=True,
    )
    found = {}
    for name, changes in variants(default).items():
        if (names is not None and name not in names) or time.monotonic() - began > time_limit:
            continue
        try:
            fit = lr_batch.critical_batch_size(lr_batch.run(make(**changes)))
        except ValueError as error:
            found[name] = {"refused": str(error)}
            print(f"{name:38s} {error}", flush=True)
            continue
        ratios = {key: ratio._asdict() for key, ratio in lr_batch.ratio(fit, base).items()}
        found[name] = {"ratios": ratios, "e_min": fit.e_min / base.e_min, "notes": fit.notes}
        told = ", ".join(
            f"{k} {r['best']:.3f} ({r['low']:.3f} to {r['high']:.3f})" for k, r in ratios.items()
        )
        print(f"{name:38s} {told}, e_min {found[name]['e_min']:.3f} {'; '.join(fit.notes)}", flush=True)
    return found


def main(arguments: Sequence[str] | None = None, *, quick: bool = False) -> dict[str, dict[str, Any]]:
    """`quick` compares two choices on four batch sizes and two seeds."""
    parser = argparse.ArgumentParser(prog="python -m runs.recipes.choices")
    parser.add_argument("--workload", default="digits_mlp")
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--time-limit", type=float, default=np.inf, help="seconds")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    fixed: dict[str, Any] = {"extend": False} | (QUICK if quick else {"seeds": options.seeds})
    make = lambda **changes: Study(options.workload, options.optimizer, **(fixed | changes))
    found = measure(make, ("slack 3", "half the rates") if quick else None, options.time_limit)
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / f"{options.workload}-{options.optimizer}.json"
    write_atomically(path, json.dumps(found, indent=1).encode())
    return found


if __name__ == "__main__":
    main()
