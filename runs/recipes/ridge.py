"""Ridge regression: closed form against gradient descent, and what lambda does to the condition number."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import reg
from optim import OPTIMIZERS
from reg.ridge import condition_number
from reg.ridge import ridge as closed_form
from runs.plots import style

FEW = 40  # examples of the problem with more features than examples


class Ridge(NamedTuple):
    """Over the grid of lambda, for one problem.

    Attributes:
      closed, descended: solutions of the normal equations and of gradient descent.
      condition: of the normal equations.
      distance: largest relative distance |closed - descended| / |closed|.
      without: whether the equations without lambda gave a solution: finite, with a residual below 1e-6.
    """

    lambdas: Float[np.ndarray, " lambdas"]
    closed: Float[np.ndarray, "lambdas features"]
    descended: Float[np.ndarray, "lambdas features"]
    condition: Float[np.ndarray, " lambdas"]
    distance: float
    without: bool


def main(out: str = "ridge.png", *, quick: bool = False) -> dict[str, Ridge]:
    """`python -m runs.recipes.ridge`: ten seconds.

    The diabetes data of scikit-learn: 442 patients with 10 features, and 40 of them with 65: the 10 and all
    products of two. Expect: both solutions agree to 1e-7; without lambda the second problem has no solution,
    its condition number is infinite; with lambda it falls like 1/lambda towards 1.
    """
    with jax.enable_x64(True):
        x, y = diabetes()
        lambdas = np.geomspace(3e-3, 1.0, 4 if quick else 13)
        results = {
            f"{len(y)} examples, {x.shape[1]} features": measure(x, y, lambdas),
            f"{FEW} examples, 65 features": measure(standardized(products(x[:FEW])), y[:FEW], lambdas),
        }
    figure(results, out)
    return results


def measure(
    x: Float[np.ndarray, "n p"], y: Float[np.ndarray, " n"], lambdas: Float[np.ndarray, " lambdas"]
) -> Ridge:
    """Both solutions at every lambda; gradient descent runs all of them as lanes."""
    inputs, targets = jnp.asarray(x), jnp.asarray(y)
    closed = jax.vmap(lambda l2: closed_form(inputs, targets, l2))(jnp.asarray(lambdas))
    condition = jax.vmap(lambda l2: condition_number(inputs, l2))(jnp.asarray(lambdas))
    # The error falls by (k - 1) / (k + 1) a step, k the condition number: 9 k steps for a factor of 1e-7.
    descended = jax.jit(descend, static_argnums=3)(
        inputs, targets, jnp.asarray(lambdas), int(9 * float(condition.max()))
    )
    distance = jnp.linalg.norm(closed - descended, axis=1) / jnp.linalg.norm(closed, axis=1)
    return Ridge(
        lambdas,
        np.asarray(closed),
        np.asarray(descended),
        np.asarray(condition),
        float(distance.max()),
        solves(inputs, targets),
    )


def descend(x: jax.Array, y: jax.Array, lambdas: jax.Array, num_steps: int) -> jax.Array:
    """Gradient descent with `reg.l2` from 0 at the best constant rate, 2 / (largest + smallest curvature)."""
    curvatures = jnp.linalg.eigvalsh(x.T @ x) * 2 / len(y)

    def lane(l2: jax.Array) -> jax.Array:
        loss_fn = reg.REGULARIZERS["l2"]({"l2": l2}).loss(
            lambda theta, batch, key: (x @ theta - y) ** 2, None
        )
        rate = 2 / (curvatures[0] + curvatures[-1] + 4 * l2)
        tx = OPTIMIZERS["sgd"]({"learning_rate": rate})

        unused = jax.random.key(0)

        def step(index: jax.Array, theta: jax.Array) -> Any:
            del index
            updates, _ = tx.update(jax.grad(lambda t: loss_fn(t, None, unused).mean())(theta), tx.init(theta))
            return theta + updates

        return jax.lax.fori_loop(0, num_steps, step, jnp.zeros(x.shape[1]))

    return jax.vmap(lane)(lambdas)


def solves(x: jax.Array, y: jax.Array) -> bool:
    """Whether the equations without lambda determine theta: full rank, and an answer that satisfies them."""
    theta = closed_form(x, y, 0.0)
    residual = jnp.linalg.norm(x.T @ (x @ theta - y)) / jnp.linalg.norm(x.T @ y)
    full_rank = int(jnp.linalg.matrix_rank(x)) == x.shape[1]
    return bool(full_rank & jnp.isfinite(theta).all() & (residual < 1e-6))


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """Features and target of 442 patients, each column with mean 0 and variance 1."""
    from sklearn.datasets import load_diabetes  # Takes a second to import.

    x, y = map(np.asarray, load_diabetes(return_X_y=True))
    return standardized(x), standardized(y[:, None])[:, 0]


def products(x: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n q"]:
    """The features and all products of two of them."""
    left, right = np.triu_indices(x.shape[1])
    return np.concatenate([x, x[:, left] * x[:, right]], axis=1)


def standardized(x: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n p"]:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def figure(results: dict[str, Ridge], path: str | Path | None = None) -> Figure:
    """Coefficients against lambda (left, first problem; dots: descent), condition numbers (right)."""
    drawn = style.new_figure(9.4, 4.8)
    left, right = (
        style.add_axes(drawn, left=at, width=0.405, bottom=0.19, height=0.66) for at in (0.07, 0.565)
    )
    subtitle = "diabetes data of scikit-learn · lines: normal equations, dots: gradient descent"
    style.headline(drawn, "Ridge regression", subtitle, 0.07)
    _draw_paths(left, next(iter(results.values())))
    for (name, result), colour in zip(results.items(), (style.BLUE, style.VERMILION), strict=True):
        right.plot(result.lambdas, result.condition, "o-", color=colour, markersize=4, label=f"{name}")
    lambdas = next(iter(results.values())).lambdas
    style.log_axis(right.xaxis, "lambda", lambdas[0] / 1.2, lambdas[-1] * 1.2)
    style.log_axis(
        right.yaxis,
        "condition number of the normal equations",
        1.0,
        2 * max(r.condition.max() for r in results.values()),
    )
    style.legend_of_panels(drawn, right.get_legend_handles_labels()[0], 2, height=0.04)
    return style.save(drawn, path)


def _draw_paths(axes: Axes, result: Ridge) -> None:
    for i in range(result.closed.shape[1]):
        (line,) = axes.plot(result.lambdas, result.closed[:, i], linewidth=1.2)
        axes.plot(result.lambdas, result.descended[:, i], "o", color=line.get_color(), markersize=3.5)
    axes.axhline(0, color=style.INK, linewidth=0.8)
    style.log_axis(axes.xaxis, "lambda", result.lambdas[0] / 1.2, result.lambdas[-1] * 1.2)
    axes.set_ylabel("coefficients", fontsize=10, color=style.INK)


if __name__ == "__main__":
    for name, result in main().items():
        without = "solved" if result.without else "no solution"
        print(f"{name}: distance {result.distance:.1e}, without lambda {without}")
