"""Bayesian search of one learning rate: the model, how sure it is, and where it looks next."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hparam import SEARCHES, Space, log
from hparam.acquisition import log_expected_improvement
from hparam.bayes import cells_of, models
from hparam.gaussian_process import predict
from hparam.search import State, generator
from lr_batch import WORKLOADS, Estimate, estimate
from runs.plots import style
from runs.recipes.random_vs_grid import trainer

SPACE = Space({"learning_rate": log(1e-3, 3.0)})
SHOWN = (4, 6, 9)  # trials after which the model is drawn
TRIALS, REPEATS, STEPS, DENSE = 10, 8, 60, 129
NINETY = 1.645  # standard deviations on either side that hold nine tenths of a normal law


class Model(NamedTuple):
    """The model after some trials, over the dense rates, and the rate that the search asks for next."""

    rates: Float[np.ndarray, " trials"]
    losses: Float[np.ndarray, " trials"]
    mean: Float[np.ndarray, " dense"]
    std: Float[np.ndarray, " dense"]
    improvement: Float[np.ndarray, " dense"]
    next_rate: float


class Search1D(NamedTuple):
    """Models of the first repeat; the loss at all dense rates; what all repeats say.

    `over_best` is the best loss of ten trials over that of all dense rates, `inside` the share of dense rates whose loss
    lies in the model's 90 % band after nine.
    """

    models: dict[int, Model]
    dense: Float[np.ndarray, " dense"]
    truth: Float[np.ndarray, " dense"]
    over_best: Estimate
    inside: Estimate


def main(out: str = "bayes_model.png", *, quick: bool = False) -> Search1D:
    """Searches the learning rate of SGD on `digits_mlp`, ten trials one after the other, and sweeps it densely beside.

    Command: `python -m runs.recipes.bayes_model`; half a minute on 2 CPU cores.
    Expect the best of ten trials to be 1.23 (1.10 to 1.38) times the best of 129 rates. The model's 90 % band holds 0.63
    (0.44 to 0.82) of the curve: a Gaussian process expects no cliff (8 repeats, 90 % intervals).

    Args:
      out: where the figure goes.
      quick: 2 repeats of 20 steps.
    """
    repeats, steps = (2, 20) if quick else (REPEATS, STEPS)
    train = trainer(WORKLOADS["digits_mlp"](), steps, "sgd")
    found = [searched(train, repeat) for repeat in range(repeats)]
    over = np.exp(np.array(estimate(np.log([best / truth.min() for _, truth, best in found]))))
    inside = estimate(np.array([_inside(models[SHOWN[-1]], truth) for models, truth, _ in found]))
    result = Search1D(found[0][0], dense_rates(), found[0][1], Estimate(*over.tolist()), inside)
    style.save(draw(result, f"digits_mlp, SGD, {steps} steps of 64 · one of {repeats} repeats"), out)
    print("best of 10 trials over the best of {}: {:.3f} ({:.3f} to {:.3f})".format(DENSE, *result.over_best))
    print("inside the band: {:.2f} ({:.2f} to {:.2f})".format(*result.inside))
    print(Path(out).resolve())
    return result


def dense_rates() -> Float[np.ndarray, " dense"]:
    return SPACE.from_unit(np.linspace(0, 1, DENSE)[:, None])["learning_rate"]


def searched(train: Callable[..., jax.Array], repeat: int) -> tuple[dict[int, Model], np.ndarray, float]:
    """Models after the trials of `SHOWN`, losses at the dense rates, and the best loss of the search."""
    key, init_key, data_key = jax.random.split(jax.random.key(repeat), 3)
    loss_of = lambda rates: _losses(
        train(init_key, data_key, {"learning_rate": jnp.asarray(rates, jnp.float32)})
    )
    search, found = SEARCHES["bayes"](SPACE, initial=SHOWN[0]), {}
    state = search.init()
    for trial in range(TRIALS):
        proposal, asked = search.ask(key, state, 1)
        if trial in SHOWN:
            found[trial] = modelled(state, key, float(proposal.settings["learning_rate"][0]))
        state = search.tell(asked, proposal, loss_of(proposal.settings["learning_rate"]))
    best = min(segment.known_loss for segment in state.told)
    return found, loss_of(dense_rates()), best


def _losses(values: jax.Array) -> Float[np.ndarray, " trials"]:
    """A network that guesses is as bad as one that diverged."""
    return np.minimum(np.nan_to_num(np.asarray(values, float), nan=np.inf), np.log(10.0))


def modelled(state: State, key: jax.Array, next_rate: float) -> Model:
    """The Gaussian process that the search chooses by."""
    cells = cells_of(SPACE, state)
    posterior, _ = models(cells, generator(key, len(state.segments)))
    unit = np.linspace(0, 1, DENSE)[:, None]
    mean, std = predict(posterior, unit)
    best = float(np.min(predict(posterior, posterior.points)[0]))
    improvement = np.exp(log_expected_improvement(mean, std, best))
    rates = SPACE.from_unit(cells.points)["learning_rate"]
    return Model(rates, cells.loss, mean, std, improvement, next_rate)


def _inside(model: Model, truth: Float[np.ndarray, " dense"]) -> float:
    return float(np.mean(np.abs(truth - model.mean) <= NINETY * model.std))


def draw(found: Search1D, subtitle: str) -> Figure:
    """Above the model after each number of trials, below the improvement that it expects."""
    figure = style.new_figure(10.2, 5.2)
    title = "What the search believes, how sure it is, and where it looks next"
    style.headline(figure, title, subtitle, left=0.07)
    for place, (trials, model) in enumerate(found.models.items()):
        left = 0.07 + 0.31 * place
        above = style.add_axes(figure, left, 0.42, 0.275, 0.40)
        below = style.add_axes(figure, left, 0.20, 0.275, 0.15)
        _model_panel(above, found, model)
        _improvement_panel(below, found, model)
        above.set_title(f"after {trials} trials", fontsize=9.5, loc="left", pad=4)
        if place:
            above.tick_params(labelleft=False)
        else:
            above.set_ylabel("held-out loss (nats)", fontsize=10, color=style.INK)
            below.set_ylabel("expected\nimprovement", fontsize=9, color=style.INK)
            style.legend_below(above)
    return figure


def _rate_axis(axes: Axes, found: Search1D, label: str) -> None:
    style.log_axis(axes.xaxis, label, found.dense[0], found.dense[-1])


def _model_panel(axes: Axes, found: Search1D, model: Model) -> None:
    low, high = model.mean - NINETY * model.std, model.mean + NINETY * model.std
    axes.plot(
        found.dense,
        found.truth,
        color=style.INK,
        linewidth=1.0,
        linestyle=(0, (2, 2)),
        label="loss, all rates",
    )
    axes.fill_between(
        found.dense, low, high, color=style.BLUE, alpha=0.18, linewidth=0, label="90 % of the model"
    )
    axes.plot(found.dense, model.mean, color=style.BLUE, linewidth=1.7, label="its mean")
    axes.plot(model.rates, model.losses, "o", color=style.INK, markersize=5, label="trials")
    axes.axvline(model.next_rate, color=style.VERMILION, linewidth=1.3, label="next trial")
    _rate_axis(axes, found, "")
    axes.tick_params(labelbottom=False)
    axes.set_ylim(-0.4, 3.0)


def _improvement_panel(axes: Axes, found: Search1D, model: Model) -> None:
    axes.fill_between(found.dense, 0, model.improvement, color=style.GREEN, alpha=0.5, linewidth=0)
    axes.axvline(model.next_rate, color=style.VERMILION, linewidth=1.3)
    _rate_axis(axes, found, "learning rate")
    axes.set_ylim(0, 1.1 * model.improvement.max())
    axes.set_yticks([])


if __name__ == "__main__":
    main(*sys.argv[1:2])
