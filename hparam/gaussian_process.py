"""Gaussian-process regression on the unit cube, with fantasies.

The kernel's parameters are fitted by scikit-learn (marginal likelihood); the
posterior is kept as a Cholesky factor, so that a pending point can be added
without another fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_solve, cholesky, solve_triangular

Array = np.ndarray


class Posterior(NamedTuple):
    """Belief about a function after N observations; values standardised by `shift` and `scale`."""

    points: Float[Array, "N dims"]
    kernel: Callable[..., Float[Array, "A B"]]
    factor: Float[Array, "N N"]  # lower Cholesky factor of K + noise
    weights: Float[Array, " N"]  # (K + noise)^-1 values
    variance: float  # of the function before any observation
    noise: float  # of one observation, standardised; that of a fantasy
    shift: float
    scale: float


def fit(
    points: Float[Array, "N dims"],
    values: Float[Array, " N"],
    noise: Float[Array, " N"] | None,
    seed: int,
) -> Posterior:
    """Matern 5/2 kernel with one length scale per dimension (Rasmussen & Williams, 2006, eq. 4.17 and 2.25).

    Args:
      points: observed points of the unit cube.
      values: observations; not all equal.
      noise: variance of each, or None where it is unknown and fitted too.
      seed: of the restarts of the fit.
    """
    shift, scale = float(np.mean(values)), float(np.std(values))
    targets = (values - shift) / scale
    known = np.full(len(values), 1e-8) if noise is None else noise / scale**2 + 1e-8
    signal, white = _fit_kernel(points, targets, known, seed)
    factor = cholesky(signal(points) + np.diag(known + white), lower=True)
    weights = cho_solve((factor, True), targets)
    variance = float(signal.diag(points[:1])[0])
    return Posterior(points, signal, factor, weights, variance, white + float(np.mean(known)), shift, scale)


def predict(
    posterior: Posterior, points: Float[Array, "A dims"]
) -> tuple[Float[Array, " A"], Float[Array, " A"]]:
    """Mean and standard deviation of the function itself (no observation noise)."""
    cross = posterior.kernel(posterior.points, points)
    mean = cross.T @ posterior.weights
    shrunk = solve_triangular(posterior.factor, cross, lower=True)
    variance = np.maximum(posterior.variance - np.sum(shrunk**2, axis=0), 1e-12)
    return posterior.shift + posterior.scale * mean, posterior.scale * np.sqrt(variance)


def fantasize(posterior: Posterior, points: Float[Array, "A dims"]) -> Posterior:
    """The posterior after observing its own mean at `points`: the mean stays, the uncertainty shrinks."""
    cross = solve_triangular(posterior.factor, posterior.kernel(posterior.points, points), lower=True)
    inner = posterior.kernel(points) + posterior.noise * np.eye(len(points)) - cross.T @ cross
    corner = cholesky(inner, lower=True)
    factor = np.block([[posterior.factor, np.zeros_like(cross)], [cross.T, corner]])
    return posterior._replace(
        points=np.concatenate([posterior.points, points]),
        factor=factor,
        # The fantasies lie on the mean, so they carry no weight.
        weights=np.concatenate([posterior.weights, np.zeros(len(points))]),
    )


def _fit_kernel(points, targets, known, seed: int):
    """Fitted kernel of the function, and the variance of the noise that `known` leaves out."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths: Any = np.full(points.shape[1], 0.5)  # one of each dimension
    signal = ConstantKernel(1.0, (0.05, 100.0)) * Matern(lengths, (0.03, 10.0), nu=2.5)
    kernel = signal + WhiteKernel(1e-3, (1e-6, 1.0))
    regressor = GaussianProcessRegressor(kernel, alpha=known, n_restarts_optimizer=1, random_state=seed)
    with warnings.catch_warnings():
        # A parameter at its bound, or a line search that ends early, is a fit as good as any.
        warnings.simplefilter("ignore")
        # The sum of `kernel`, which scikit-learn does not declare
        fitted: Any = regressor.fit(points, targets).kernel_
    return fitted.k1, float(fitted.k2.noise_level)
