"""The simple noise scale tr(Sigma) / |G|^2, from square norms of gradients at two batch sizes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.special at its first use
from jaxtyping import Float

from lr_batch.analysis.intervals import LEVEL
from optim.arguments import explain_arguments

MIN_DRAWS = 4


class NoiseScale(NamedTuple):
    """A ratio of noise to signal, in examples.

    Attributes:
      b_simple: `noise` / `signal` = tr(Sigma) / |G|^2; with a curvature H in place of the identity it is
        B_noise = tr(H Sigma) / (G' H G). Infinite where the signal is not positive.
      low, high: interval at `level`; `high` is infinite where the signal is not distinguishable from zero.
      signal, noise: unbiased; `signal` may be negative where it is small.
      draws: independent pairs of square norms.
    """

    b_simple: float
    low: float
    high: float
    signal: float
    noise: float
    level: float
    draws: int


@explain_arguments
def gradient_noise_scale(
    small_sq_norms: Float[np.ndarray, " draws"],
    big_sq_norms: Float[np.ndarray, " draws"],
    batch_small: int,
    batch_big: int,
    *,
    level: float = LEVEL,
) -> NoiseScale:
    """B_simple = tr(Sigma) / |G|^2 from gradient square norms at two batch sizes.

    E|G_B|^2 = |G|^2 + tr(Sigma) / B at any B, so two batch sizes give both terms without bias (McCandlish et al.,
    2018, appendix A.1):

        |G|^2 = (B_big |G_big|^2 - B_small |G_small|^2) / (B_big - B_small)
        tr(Sigma) = (|G_small|^2 - |G_big|^2) / (1 / B_small - 1 / B_big)

    Each is averaged over the draws before they are divided. The interval is Fieller's (1954) for a ratio of two means,
    with Student's t: its upper end is infinite exactly where the signal is not distinguishable from zero.

    Args:
      small_sq_norms: |G_small|^2, one or an average of several per draw.
      big_sq_norms: |G_big|^2 of the same draws.
      batch_small: examples per small batch, >= 1.
      batch_big: examples per big batch, > batch_small.
      level: coverage of the interval, in (0, 1).

    Raises:
      ValueError: batch sizes that tell nothing, less than 4 draws, or square norms that are not finite.

    >>> gradient_noise_scale(np.full(4, 11.0), np.full(4, 2.0), 1, 10).b_simple
    10.0
    """
    small, big = np.asarray(small_sq_norms, float), np.asarray(big_sq_norms, float)
    check_batches(batch_small, batch_big, level)
    _check_norms(small, big)
    signal = (batch_big * big - batch_small * small) / (batch_big - batch_small)
    noise = (small - big) / (1.0 / batch_small - 1.0 / batch_big)
    return ratio_of_means(noise, signal, level)


def ratio_of_means(
    noise: Float[np.ndarray, " draws"], signal: Float[np.ndarray, " draws"], level: float
) -> NoiseScale:
    """Mean of `noise` over mean of `signal`, paired draws of both, with Fieller's interval."""
    low, high = _fieller(noise, signal, level)
    mean_noise, mean_signal = float(noise.mean()), float(signal.mean())
    value = max(mean_noise, 0.0) / mean_signal if mean_signal > 0 else np.inf
    return NoiseScale(value, low, high, mean_signal, mean_noise, level, len(noise))


def _fieller(noise: np.ndarray, signal: np.ndarray, level: float) -> tuple[float, float]:
    """All r >= 0 for which noise - r signal is not distinguishable from zero: between the roots of
    a r^2 - 2 b r + c, or beyond the larger one where a, the square of the signal less that of its error, is negative."""
    n = len(noise)
    squared = scipy.special.stdtrit(n - 1, 0.5 + level / 2) ** 2 / n
    (noise_var, both), (_, signal_var) = squared * np.cov(noise, signal)
    a = signal.mean() ** 2 - signal_var
    b = noise.mean() * signal.mean() - both
    c = noise.mean() ** 2 - noise_var
    if a > 0 and signal.mean() > 0:
        spread = np.sqrt(max(b * b - a * c, 0.0))
        return max(0.0, (b - spread) / a), max(0.0, (b + spread) / a)
    if a < 0 < c and noise.mean() > 0:
        return max(0.0, (b - np.sqrt(b * b - a * c)) / a), np.inf
    return 0.0, np.inf


def check_batches(batch_small: int, batch_big: int, level: float) -> None:
    """Raises ValueError, in one line, where two batch sizes cannot tell noise from signal."""
    if batch_small < 1:
        raise ValueError(f"noise scale: batch_small must be >= 1, got {batch_small}")
    if batch_big <= batch_small:
        raise ValueError(
            "noise scale: batch_big must be larger than batch_small, because how the norm falls with the batch size "
            f"tells noise from signal; got {batch_small} and {batch_big}"
        )
    if not 0 < level < 1:
        raise ValueError(f"noise scale: level must be in (0, 1), got {level}")


def _check_norms(small: np.ndarray, big: np.ndarray) -> None:
    if small.shape != big.shape or small.ndim != 1 or len(small) < MIN_DRAWS:
        raise ValueError(
            f"noise scale: needs two equally long rows of at least {MIN_DRAWS} square norms, "
            f"got shapes {small.shape} and {big.shape}"
        )
    if not (np.isfinite(small).all() and np.isfinite(big).all()):
        raise ValueError("noise scale: square norms must be finite; the gradient diverged")
