"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optim import kronecker
from optim.decompositions import eigh, orthogonal_factor
from optim.factored import Factored, vary_as
from optim.hyperparameters import hyperparameters
from optim.moments import refuse_complex
from optim.range import (
    COUNT,
    DECAY,
    FLOAT_TYPE,
    MASK,
    NON_NEGATIVE,
    POSITIVE,
    DTypeLike,
    Scalar,
    ScalarOrSchedule,
    Whole,
)

STATIC = dict(interval=COUNT, block_size=COUNT, mu_dtype=FLOAT_TYPE)


class ScaleBySoapState(NamedTuple):
    count: jax.Array  # steps taken; the same in all lanes, so that the refresh stays a branch
    mu: optax.Updates  # first moment; as params
    nu: optax.Updates  # second moment in the eigenbasis, as blocks
    stats: optax.Params  # per leaf its packed factors, see `optim.factored`
    bases: optax.Params  # orthonormal columns, by falling eigenvalue; as stats


def _eigenbases(stats: jax.Array) -> jax.Array:
    """Eigenvectors of [n, s, s] as columns, by falling eigenvalue; padding, at -1, comes last."""
    _, vectors = eigh(stats)
    return vectors[..., ::-1]


def _falling_order(stats: jax.Array, bases: jax.Array) -> jax.Array:
    """Order [n, d] of the columns of the bases by falling q^T S q, the estimated eigenvalues."""
    return jnp.argsort(-jnp.sum(bases * (stats @ bases), axis=-2), axis=-1)


def _permute(blocks: jax.Array, orders: tuple[jax.Array, ...]) -> jax.Array:
    """Reorders every dimension i of blocks [n, d_1, ..., d_k] by `orders[i]` [n, d_i]."""
    for axis, order in enumerate(orders):
        shape = [order.shape[0]] + [1] * (blocks.ndim - 1)
        shape[axis + 1] = order.shape[1]
        blocks = jnp.take_along_axis(blocks, order.reshape(shape), axis=axis + 1)
    return blocks


def _first_bases(nu: optax.Updates, stats: Any, bases: Any) -> tuple[optax.Updates, Any]:
    """(V, Q) with Q the eigenvectors of the statistics; the old ones where they are not finite."""
    return nu, kronecker.keep_finite(kronecker.on_all(_eigenbases, stats, pad=-1.0), bases)


def _turned_bases(nu: optax.Updates, stats: Any, bases: Any) -> tuple[optax.Updates, Any]:
    """(V, Q) sorted by eigenvalue, Q after a step of power iteration, QR(S Q) (their algorithm 4)."""
    orders = jax.tree.map(_falling_order, stats, bases)
    sorted_bases = jax.tree.map(lambda q, o: jnp.take_along_axis(q, o[:, None], axis=-1), bases, orders)
    products = jax.tree.map(jnp.matmul, stats, sorted_bases)
    turned = kronecker.on_all(orthogonal_factor, products, pad=1.0)
    return jax.tree.map(_permute, nu, orders), kronecker.keep_finite(turned, sorted_bases)


class _Bases(NamedTuple):
    """The eigenbases of the leaves and the statistics that they are of; the arguments are those of `scale_by_soap`."""

    factored: Factored
    b3: Scalar
    interval: int | Whole

    def gathered(self, grad, stats):
        """The statistics of a leaf after one more gradient."""
        return self.b3 * stats + (1 - self.b3) * self.factored.second_moments(grad)

    def into(self, leaf, bases):
        """The blocks of a leaf in its bases."""
        transposed = tuple(basis.mT for basis in self.factored.unpack(leaf, bases))
        return kronecker.multiply(self.factored.cut(leaf), transposed)

    def out_of(self, blocks, leaf, bases):
        """The inverse of `into`, in the shape of `leaf`."""
        return self.factored.join(kronecker.multiply(blocks, self.factored.unpack(leaf, bases)), leaf)

    def turned(self, updates, state, nu, stats):
        """Second moments and bases after the step: set in the first, turned every `interval` steps."""
        first = state.count == 0
        branch = jnp.where(first, 0, jnp.where(state.count % self.interval == 0, 1, 2))
        branches = self._on_packed(_first_bases, updates), self._on_packed(_turned_bases, updates)
        keep = lambda nu, stats, bases: (nu, bases)
        nu, bases = jax.tree.map(lambda leaf: vary_as(leaf, stats), (nu, state.bases))
        return jax.lax.switch(branch, (*branches, keep), nu, stats, bases)

    def _on_packed(self, turn, updates):
        """A branch that takes and gives packed statistics and bases."""
        unpack_all, pack_all = self.factored.unpack_all, self.factored.pack_all

        def branch(nu, stats, bases):
            new_nu, new = turn(nu, unpack_all(updates, stats), unpack_all(updates, bases))
            return new_nu, pack_all(new, bases)

        return branch


class _Soap(NamedTuple):
    """What `scale_by_soap` is made of."""

    bases: _Bases
    b1: Scalar
    b2: Scalar
    eps: Scalar
    mu_dtype: DTypeLike

    def init(self, params):
        refuse_complex("scale_by_soap", params)
        factored = self.bases.factored
        bases = jax.tree.map(factored.identities, params)
        mu, stats = optax.tree.zeros_like(params, dtype=self.mu_dtype), jax.tree.map(jnp.zeros_like, bases)
        nu = jax.tree.map(lambda p: jnp.zeros_like(factored.cut(p)), params)
        return ScaleBySoapState(jnp.zeros([], jnp.int32), mu, nu, stats, bases)

    def update(self, updates, state, params=None):
        del params
        # The first step sets the bases alone: moments and parameters rest, and Adam counts from the next.
        first = state.count == 0
        count = jnp.maximum(state.count, 1)
        stats = jax.tree.map(self.bases.gathered, updates, state.stats)
        mu, nu = self.moments(updates, state, first)
        steps = jax.tree.map(lambda m, v, q: self.adam_step(m, v, q, count), mu, nu, state.bases)
        steps = jax.tree.map(lambda step: jnp.where(first, 0.0, step), steps)
        nu, bases = self.bases.turned(updates, state, nu, stats)
        return steps, ScaleBySoapState(optax.safe_increment(state.count), mu, nu, stats, bases)

    def moments(self, updates, state, first):
        """M, and V in the bases of the step before; these turn at the end of the step, and V with them."""
        b1, b2 = self.b1, self.b2
        mu = jax.tree.map(lambda m, g: jnp.where(first, m, b1 * m + (1 - b1) * g), state.mu, updates)
        squared = jax.tree.map(lambda g, q: self.bases.into(g, q) ** 2, updates, state.bases)
        nu = jax.tree.map(lambda v, g2: jnp.where(first, v, b2 * v + (1 - b2) * g2), state.nu, squared)
        return mu, nu

    def adam_step(self, mu, nu, bases, count):
        """Adam's step of a leaf, in its bases."""
        first, second = 1 - self.b1**count, 1 - self.b2**count
        step = self.bases.into(mu, bases) / first / (jnp.sqrt(nu / second) + self.eps)
        return self.bases.out_of(step, mu, bases)


@hyperparameters(b1=DECAY, b2=DECAY, b3=DECAY, eps=POSITIVE, **STATIC)
def scale_by_soap(
    b1: Scalar = 0.95,
    b2: Scalar = 0.95,
    b3: Scalar = 0.95,
    eps: Scalar = 1e-8,
    *,
    interval: int | Whole = Whole(10),
    block_size: int | Whole = Whole(128),
    vectors: bool = False,
    matricize: bool = True,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """Adam on the gradient rotated into the eigenbases of Shampoo (Vyas et al., 2024, algorithm 3).

    For a matrix: L <- b3 L + (1 - b3) G G^T, R <- b3 R + (1 - b3) G^T G, G' = Q_L^T G Q_R,
    M <- b1 M + (1 - b1) G, V <- b2 V + (1 - b2) G'^2, and the update is
    Q_L (M' / (sqrt(V) + eps)) Q_R^T with M' = Q_L^T M Q_R, M and V bias-corrected. Every
    `interval` steps, after the update, Q <- QR(L Q): one step of power iteration, with columns
    (and V with them) first sorted by eigenvalue. As in the authors' code the first step only
    sets the bases, by eigendecomposition: its update is zero, and Adam counts from the second.

    Args:
      b1: decay of M, in [0, 1).
      b2: decay of V, in [0, 1).
      b3: decay of L and R, in [0, 1); the authors take b2's value.
      eps: in units of the gradient, in (0, inf).
      interval: steps from one turn of the bases to the next, >= 1.
      block_size: larger dimensions are cut into blocks with bases of their own, >= 1. The authors
        do not cut, and leave dimensions above 10,000 unrotated.
      vectors: True rotates tensors of order 0 and 1 as well; False gives them plain Adam, which
        like the others rests in the first step.
      matricize: True treats kernels (H, W, I, O) as matrices (H W I, O), False as order 4.
      mu_dtype: data type in which M is kept; default that of the parameters, float32 at least.

    Raises:
      ValueError: from `init` where parameters are complex.

    >>> grads = {"w": jnp.diag(jnp.array([3.0, 4.0]))}
    >>> tx = scale_by_soap()
    >>> first, state = tx.update(grads, tx.init(grads))
    >>> print(first["w"].diagonal(), tx.update(grads, state)[0]["w"].round(3).diagonal())
    [0. 0.] [1. 1.]
    """
    method = _Soap(_Bases(Factored(block_size, vectors, matricize), b3, interval), b1, b2, eps, mu_dtype)
    return optax.GradientTransformation(method.init, method.update)


@hyperparameters(
    learning_rate=POSITIVE,
    b1=DECAY,
    b2=DECAY,
    b3=DECAY,
    eps=POSITIVE,
    weight_decay=NON_NEGATIVE,
    mask=MASK,
    **STATIC,
)
def soap(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.95,
    b2: Scalar = 0.95,
    b3: Scalar = 0.95,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
    *,
    interval: int | Whole = Whole(10),
    block_size: int | Whole = Whole(128),
    vectors: bool = False,
    mask: Any = None,
    mu_dtype: DTypeLike = None,
) -> optax.GradientTransformation:
    """SOAP, theta <- theta - lr (u + wd theta) with u of `scale_by_soap` (Vyas et al., 2024, algorithm 3).

    As in the authors' code the first step rests: nothing moves, and no weight decays. Their wd is 0.01; 0 here,
    so that a study of rates compares methods without decay.

    Args:
      learning_rate: lr, on the scale of Adam's, in (0, inf); a number or a schedule.
      b1, b2, b3, eps, interval, block_size, vectors, mu_dtype: as in `scale_by_soap`.
      weight_decay: wd, in [0, inf).
      mask: which leaves decay: None or "all", "matrices", a function of the parameters, a tree of booleans.

    >>> grads = {"w": jnp.diag(jnp.array([3.0, 4.0]))}
    >>> tx = soap(0.1)
    >>> _, state = tx.update(grads, tx.init(grads), grads)
    >>> print(tx.update(grads, state, grads)[0]["w"].round(3).diagonal())
    [-0.1 -0.1]
    """

    def rests_first(count):
        return jnp.where(count == 0, 0.0, weight_decay)

    none = isinstance(weight_decay, (int, float)) and weight_decay == 0  # then no step has to be counted
    return optax.chain(
        scale_by_soap(
            b1, b2, b3, eps, interval=interval, block_size=block_size, vectors=vectors, mu_dtype=mu_dtype
        ),
        optax.add_decayed_weights(0.0 if none else rests_first, mask),
        optax.scale_by_learning_rate(learning_rate),
    )
