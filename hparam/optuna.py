"""Optuna's samplers behind ask and tell (extra: `pip install lr-batch[optuna]`).

The study is rebuilt in memory at every call, so the adapter keeps no state.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np

from hparam.search import Key, Search, State, Wanted, generator, make_search
from hparam.space import Space, rows
from hparam.untried import untried_segments
from optim.arguments import explain_arguments

SAMPLERS = {"gp": "GPSampler", "tpe": "TPESampler", "cma": "CmaEsSampler", "random": "RandomSampler"}


@explain_arguments
def optuna(space: Space, sampler: str = "tpe") -> Search:
    """A sampler of Optuna; it sees the unit cube, and diverged trials as worse than all others.

    Args:
      sampler: "tpe" (Bergstra et al., 2011; with the constant liar for batches),
        "gp", "cma" or "random".
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"optuna: sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
    if importlib.util.find_spec("optuna") is None:
        raise ValueError("optuna: Optuna is not installed; pip install 'lr-batch[optuna]'")

    def plan(key, state, n) -> Wanted:
        first = rows(space.from_unit(_ask(space, sampler, key, state, n)))
        return Wanted(untried_segments(space, key, state, n, first=first))

    return make_search(space, plan)


def _ask(space: Space, sampler: str, key: Key, state: State, n: int) -> np.ndarray:
    """`n` points of the unit cube."""
    library: Any = importlib.import_module("optuna")  # an extra, and this module's own name
    seed = int(generator(key, len(state.segments)).integers(2**31))
    options: dict[str, Any] = {"constant_liar": True} if sampler == "tpe" else {}
    with warnings.catch_warnings():
        # Parts of Optuna are marked experimental, and warn of it at each use.
        warnings.simplefilter("ignore")
        library.logging.set_verbosity(library.logging.ERROR)
        chosen = getattr(library.samplers, SAMPLERS[sampler])(seed=seed, **options)
        study = library.create_study(sampler=chosen)
        axes = {name: library.distributions.FloatDistribution(0.0, 1.0) for name in space.names}
        study.add_trials(_trials(library, space, state, axes))
        return np.array([[study.ask(axes).params[name] for name in space.names] for _ in range(n)])


def _trials(library, space: Space, state: State, axes: dict) -> list:
    """Told segments as finished trials, running ones as running."""
    worst = max((s.known_loss for s in state.told if np.isfinite(s.known_loss)), default=0.0)
    states = library.trial.TrialState
    return [
        library.trial.create_trial(
            params=dict(zip(space.names, space.points([segment.setting])[0].tolist(), strict=True)),
            distributions=axes,
            state=states.COMPLETE if segment.told else states.RUNNING,
            value=min(segment.known_loss, worst + 1.0) if segment.told else None,
        )
        for segment in state.segments.values()
    ]
