"""Shampoo: a preconditioner per dimension of every tensor."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim import kronecker
from optim.factored import Factored, vary_as
from optim.grafts import GRAFTS, with_norm_of
from optim.hyperparameters import hyperparameters
from optim.moments import refuse_complex
from optim.range import (
    COUNT,
    DECAY,
    FLOAT_TYPE,
    MASK,
    NON_NEGATIVE,
    POSITIVE,
    Choice,
    Count,
    DTypeLike,
    Range,
    Scalar,
    ScalarOrSchedule,
    Whole,
)
from optim.shampoo_statistics import Refreshes, Statistics

SUM_OR_DECAY = Range(low=0.0, high=1.0, low_open=True)  # 1 sums, less averages
STATIC = dict(
    interval=COUNT, block_size=COUNT, merge_dims=COUNT, start=COUNT, phase=Count(0), graft=Choice(GRAFTS)
)


class ScaleByShampooState(NamedTuple):
    count: jax.Array  # steps taken; the same in all lanes, so that the refresh stays a branch
    mu: optax.Updates | None  # average of the gradient, where that is preconditioned; as params
    stats: optax.Params  # per leaf its packed factors, see `optim.factored`
    roots: optax.Params  # inverse roots of stats as of the last refresh; as stats
    graft: optax.OptState


class _Shampoo(NamedTuple):
    """What `scale_by_shampoo` is made of."""

    statistics: Statistics
    refreshes: Refreshes
    graft: str
    b1: Scalar | None
    mu_dtype: DTypeLike

    def init(self, params):
        refuse_complex("scale_by_shampoo", params)
        roots = jax.tree.map(self.statistics.factored.identities, params)
        stats = jax.tree.map(jnp.zeros_like, roots)
        mu = None if self.b1 is None else optax.tree.zeros_like(params, dtype=self.mu_dtype)
        graft = GRAFTS[self.graft].method.init(params)
        return ScaleByShampooState(jnp.zeros([], jnp.int32), mu, stats, roots, graft)

    def update(self, updates, state, params=None):
        count = optax.safe_increment(state.count)
        stats = jax.tree.map(self.statistics.gathered, updates, state.stats)
        roots = self.refreshed(updates, state, stats, count)
        numerators, targets, mu, graft = self.directions(updates, state, params, count)
        precondition = lambda *leaves: self.preconditioned(*leaves, count)
        steps = jax.tree.map(precondition, numerators, roots, targets)
        return steps, ScaleByShampooState(count, mu, stats, roots, graft)

    def refreshed(self, updates, state, stats, count):
        """The roots, new where a refresh is due."""

        def refresh(stats, roots, count):
            return self.statistics.roots(updates, stats, roots, count)

        roots = jax.tree.map(lambda root: vary_as(root, stats), state.roots)
        is_due = self.refreshes.is_due(state.count)
        return jax.lax.cond(is_due, refresh, lambda stats, roots, _: roots, stats, roots, count)

    def directions(self, updates, state, params, count):
        """What is preconditioned, the grafted method's step along it, and the states of both."""
        graft, b1 = GRAFTS[self.graft], self.b1
        along_gradient, graft_state = graft.method.update(updates, state.graft, params)
        if b1 is None:
            return updates, along_gradient, None, graft_state
        mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, updates)
        average = jax.tree.map(lambda m: m / (1 - b1**count), mu)
        return average, graft.along(average, graft_state), mu, graft_state

    def preconditioned(self, leaf, roots, target, count):
        """The step of a leaf: that of `target`, the grafted method, where it has no roots, or not yet."""
        factored, start = self.statistics.factored, self.refreshes.start
        if not factored.covers(leaf):
            return target
        update = factored.join(kronecker.multiply(factored.cut(leaf), factored.unpack(leaf, roots)), leaf)
        update = update if self.graft == "none" else with_norm_of(target, update)
        return update if start == 1 else jnp.where(count >= start, update, target)


@hyperparameters(b2=SUM_OR_DECAY, eps=POSITIVE, exponent=POSITIVE, b1=DECAY, mu_dtype=FLOAT_TYPE, **STATIC)
def scale_by_shampoo(
    b2: Scalar = 1.0,
    eps: Scalar = 1e-4,
    exponent: Scalar | None = None,
    b1: Scalar | None = None,
    *,
    relative_eps: bool = False,
    interval: int | Whole = Whole(1),
    phase: int | Whole = Whole(0),
    start: int | Whole = Whole(1),
    block_size: int | Whole = Whole(128),
    merge_dims: int | None = None,
    graft: str = "none",
    vectors: bool = True,
    matricize: bool = True,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """U = L^-1/4 G R^-1/4 with L = eps I + sum G G^T and R = eps I + sum G^T G.

    Gupta et al. (2018), algorithm 1. A tensor of order k has k factors, each to the power -1/(2k)
    (their algorithm 2); vectors are of order 1, which is full-matrix AdaGrad. Defaults are the
    paper's but for the blocks, and for kernels, which are taken as matrices.

    Args:
      b2: in (0, 1]. 1 sums the statistics, as the paper does; below 1 they are averaged with that decay,
        and bias-corrected (Anil et al., 2020; Shi et al., 2023).
      eps: ridge, in (0, inf); absolute, in units of the squared gradient (paper). In float32 an absolute ridge
        is lost below 1e-7 of the largest eigenvalue; `relative_eps` makes it a fraction of that eigenvalue,
        1e-6 is usual.
      exponent: e of S^-e, in (0, inf); default 1/(2k).
      b1: None, or decay in [0, 1) of a bias-corrected average of the gradient, which is then what is
        preconditioned; L, R and the graft's second moments stay those of the gradient (Shi et al., 2023,
        section 2.4).
      relative_eps: see `eps`.
      interval: steps from one refresh of the roots to the next, >= 1.
      phase: steps t, counted from 1, with (t - 1) % interval == phase refresh; in 0, ..., interval - 1.
        Shi et al.'s code refreshes at multiples of the interval: phase = interval - 1.
      start: the first step, counted from 1, that is preconditioned; it refreshes as well. Before it updates
        are the grafted method's. Statistics are gathered from step 1.
      block_size: dimensions above it are cut into blocks with factors of their own (Anil et al.), >= 1.
      merge_dims: None, or the size up to which neighbouring dimensions become one, as in Google's and Meta's
        code; `matricize` is then not asked.
      graft: each leaf's update is given the norm of this method's update (Agarwal et al., 2020), the second
        moment with decay 0.999: "none", "sgd", "sqrt_n" (signs of the gradient), "adagrad", "rmsprop", "adam";
        "adagrad_normalized" and "rmsprop_normalized" see each leaf's gradient at norm 1.
      vectors: False leaves tensors of order 0 and 1 to the grafted method.
      matricize: True treats kernels (H, W, I, O) as matrices (H W I, O), False as order 4.
      mu_dtype: data type of the average, with `b1`; default that of the parameters, float32 at least.

    Raises:
      ValueError: from `init` where parameters are complex.

    >>> grads = {"w": jnp.diag(jnp.array([3.0, 4.0]))}
    >>> tx = scale_by_shampoo(1.0, 1e-8)
    >>> print(tx.update(grads, tx.init(grads))[0]["w"].round(3).diagonal())
    [1. 1.]
    """
    if phase >= interval:
        raise ValueError(f"scale_by_shampoo: phase must be below interval {interval}, got {phase}")
    factored = Factored(block_size, vectors, matricize, merge_dims)
    statistics = Statistics(factored, b2, eps, exponent, relative_eps)
    method = _Shampoo(statistics, Refreshes(interval, phase, start), graft, b1, mu_dtype)
    return optax.GradientTransformation(method.init, method.update)


@hyperparameters(
    learning_rate=POSITIVE,
    b1=DECAY,
    b2=SUM_OR_DECAY,
    eps=POSITIVE,
    exponent=POSITIVE,
    weight_decay=NON_NEGATIVE,
    average=Choice(("after", "before")),
    mask=MASK,
    mu_dtype=FLOAT_TYPE,
    **STATIC,
)
def shampoo(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 1.0,
    eps: Scalar = 1e-4,
    exponent: Scalar | None = None,
    weight_decay: Scalar = 0.0,
    *,
    average: str = "after",
    relative_eps: bool = False,
    interval: int | Whole = Whole(10),
    phase: int | Whole = Whole(0),
    start: int | Whole = Whole(1),
    block_size: int | Whole = Whole(128),
    merge_dims: int | None = None,
    graft: str = "rmsprop",
    vectors: bool = False,
    matricize: bool = True,
    mask: Any = None,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """Shampoo with the paper's statistics, grafted norms and momentum.

    theta <- theta - lr (m + wd theta), m the bias-corrected moving average, with decay b1, of
    `scale_by_shampoo`, whose arguments these are and which alone is the paper's. Grafted onto RMSProp
    (Anil et al., 2020; Shi et al., 2023), lr is on the scale of Adam's and roots may be old: without
    a graft, `digits_mlp` at batch size 32 took 21 steps with fresh roots and 45 with roots of up to
    10 steps ago, with it 17. Averaged statistics with a relative ridge (`b2=0.99, eps=1e-6,
    relative_eps=True`) took 20.

    Args:
      learning_rate: lr, in (0, inf); a number or a schedule.
      b1: decay of m, in [0, 1).
      b2, eps, exponent, relative_eps, interval, phase, start, block_size, merge_dims, graft, vectors,
        matricize: as in `scale_by_shampoo`.
      weight_decay: wd, in [0, inf).
      average: "after" averages what is preconditioned; "before" preconditions the average of the gradient, as
        the distributed Shampoo of Shi et al. (2023) does.
      mask: which leaves decay: None or "all", "matrices", a function of the parameters, a tree of booleans.
      mu_dtype: data type in which the average is kept; default that of the parameters, float32 at least.

    >>> grads = {"w": jnp.diag(jnp.array([3.0, 4.0]))}
    >>> tx = shampoo(0.1, average="before")
    >>> print(tx.update(grads, tx.init(grads), grads)[0]["w"].round(3).diagonal())
    [-0.1 -0.1]
    """
    before = average == "before"
    preconditioned = scale_by_shampoo(
        b2,
        eps,
        exponent,
        b1 if before else None,
        relative_eps=relative_eps,
        interval=interval,
        phase=phase,
        start=start,
        block_size=block_size,
        merge_dims=merge_dims,
        graft=graft,
        vectors=vectors,
        matricize=matricize,
        mu_dtype=mu_dtype if before else None,
    )
    return optax.chain(
        preconditioned,
        optax.identity() if before else optax.ema(b1, accumulator_dtype=mu_dtype),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )
