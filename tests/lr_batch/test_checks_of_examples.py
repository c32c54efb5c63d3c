"""Examples that depend on each other, labels and tokens out of range: refused before training."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from checked_study import CROSS_ENTROPY, LINEAR, X, Y, refused, workload_of
from tiny import tiny_study

import lr_batch
from lr_batch.checks.probe import Probe
from lr_batch.checks.start import check_training_loss
from lr_batch.problem.workload import evenly_spaced


def normalized(params, x):
    h = x @ params
    return (h - h.mean(axis=0, keepdims=True)) / (h.std(axis=0, keepdims=True) + 1e-3)


def contrastive(z, other):
    return CROSS_ENTROPY(z @ other.T, jnp.arange(len(z)))


def rank_free(outputs, y):
    """(n, n) errors, averaged over one axis."""
    return jnp.mean((outputs.reshape(1, -1) - y.reshape(-1, 1)) ** 2, axis=0)


COUPLED = {
    "normalization by hand": (((LINEAR[0], normalized)), Y, CROSS_ENTROPY),
    "contrastive": (LINEAR, np.random.default_rng(1).normal(size=(96, 3)).astype("float32"), contrastive),
    "errors that broadcast": ((lambda key: jnp.zeros((5, 1)), LINEAR[1]), X[:, 0] * 2, rank_free),
    "divided by the batch": (LINEAR, Y, lambda outputs, y: CROSS_ENTROPY(outputs, y) / len(y)),
    "weights by place": (LINEAR, Y, lambda outputs, y: CROSS_ENTROPY(outputs, y) * (1 + jnp.arange(len(y)))),
    "a share of its neighbour": (
        LINEAR,
        Y,
        lambda outputs, y: CROSS_ENTROPY(outputs + 0.1 * jnp.roll(outputs, 1, 0), y),
    ),
    "clipped by their largest, once it is large": (
        (LINEAR[0], lambda params, x: x @ params / jnp.maximum(10, jnp.abs(x @ params).max())),
        Y,
        CROSS_ENTROPY,
    ),
    "trimmed at a multiple of their mean": (
        LINEAR,
        Y,
        lambda outputs, y: jnp.minimum(CROSS_ENTROPY(outputs, y), 100 * CROSS_ENTROPY(outputs, y).mean()),
    ),
    "halved where one is large": (
        LINEAR,
        Y,
        lambda outputs, y: CROSS_ENTROPY(outputs, y) * jnp.where((jnp.abs(outputs) > 50).any(), 0.5, 1.0),
    ),
}


@pytest.mark.parametrize("kind", COUPLED)
def test_examples_that_meet_are_refused(kind):
    model, y, loss = COUPLED[kind]
    refused(workload_of(model, y=y, loss=loss), "examples must be independent")


@jax.custom_vjp
def shortened(outputs):
    """The gradient of all rows together has norm 1."""
    return outputs


shortened.defvjp(lambda outputs: (outputs, None), lambda _, grads: (grads / jnp.linalg.norm(grads),))


@jax.custom_vjp
def by_the_batch(outputs):
    """The gradient of a row is divided by the number of rows, which the cut into micro-batches changes."""
    return outputs


by_the_batch.defvjp(lambda outputs: (outputs, None), lambda _, grads: (grads / len(grads),))
MEETING = {
    "divided by the batch": lambda z, y: CROSS_ENTROPY(by_the_batch(z), y),
    "straight through": lambda z, y: CROSS_ENTROPY(z, y) + jnp.mean(z) - jax.lax.stop_gradient(jnp.mean(z)),
    "one norm": lambda z, y: CROSS_ENTROPY(shortened(z), y),
}


@pytest.mark.parametrize("kind", MEETING)
def test_gradients_of_examples_that_meet_are_refused(kind):
    """The loss of an example does not depend on the others, but its gradient does."""
    refused(workload_of(loss=MEETING[kind]), "the gradient of .* changes with the rows beside them")


def test_a_metric_of_examples_that_meet_is_refused():
    centred = lambda outputs, y: jnp.abs(outputs[:, 0] - jnp.mean(outputs[:, 0]))
    refused(workload_of(metrics={"centred": centred}), "the centred of held-out row")


def test_products_of_low_precision_do_not_look_like_examples_that_meet():
    """Those of a GPU are by default; here a model that rounds by the size of its batch unless it is asked not to."""

    def apply(params, x):
        full = jax.config.jax_default_matmul_precision == "float32"
        return (x @ params) * (1.0 if full else 1.0 + 1e-3 * len(x))

    study = tiny_study(workload=workload_of((LINEAR[0], apply)), batch_sizes=(4,), seeds=1)
    assert any("does not depend on the others" in line for line in lr_batch.check(study))


def test_noise_does_not_hide_examples_that_meet():
    def apply(params, x, key=None):
        noise = 0.0 if key is None else jax.random.normal(key, x.shape)
        return normalized(params, x + noise)

    refused(workload_of((LINEAR[0], apply)), "examples must be independent")


@pytest.mark.parametrize(
    ("weights", "passes"),
    [(lambda n: 1 / n, False), (lambda n: 1 + jnp.arange(n), False), (lambda n: 1.0, True)],
)
def test_noise_hides_no_loss_that_changes_with_the_size_of_the_batch(weights, passes):
    """Both halves of the inputs are dropped at random, so that no row has the same loss twice."""

    def apply(params, x, key=None):
        kept = 1.0 if key is None else jax.random.bernoulli(key, 0.5, x.shape) * 2.0
        return (x * kept) @ params

    workload = workload_of((LINEAR[0], apply), loss=lambda z, y: CROSS_ENTROPY(z, y))
    loss = lambda params, batch, key: workload.loss(params, batch, key) * weights(len(batch["y"]))
    if passes:
        assert lr_batch.check(tiny_study(workload=workload._replace(loss=loss), goal="loss<1e-3"))
    else:
        refused(workload._replace(loss=loss), "on average.*examples must be independent")


@pytest.mark.parametrize(
    ("y", "loss", "said"),
    [
        (Y + 1, CROSS_ENTROPY, r"loss of \d+ of 96 training examples is not finite .*first: row \d+"),
        (np.where(Y == 2, -1, Y), CROSS_ENTROPY, "label -1 counts from the end: it is taken for class 2"),
        (
            Y + 1,
            lambda outputs, y: optax.softmax_cross_entropy(outputs, jax.nn.one_hot(y, 3)),
            "examples with label 3 have loss 0",
        ),
        (
            Y + 1,
            lambda outputs, y: (
                -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], axis=1, mode="clip")[:, 0]
            ),
            "label 3 has the loss of label 2",
        ),
        (
            Y + 1,
            lambda z, y: ((z - jax.nn.one_hot(y, 3)) ** 2).sum(1),
            "label 3 is of no class, which label 0 is",
        ),
    ],
)
def test_labels_out_of_range_are_refused(y, loss, said):
    refused(workload_of(y=y.astype("int32"), loss=loss), said)


def test_held_out_labels_and_floats_for_classes_are_looked_at_too():
    """Only the held-out loss is wrong then, or the loss is given classes as floats: nothing fails either way."""
    counted_back = np.where(Y == 2, -1, Y).astype("int32")
    model = dict(model=LINEAR, train=(X, Y), goal="loss<0.1")
    wrong = lr_batch.from_arrays(held_out=(X, counted_back), loss=CROSS_ENTROPY, **model)
    refused(wrong, "held-out label -1 counts from the end: it is taken for class 2")
    as_floats = lambda outputs, y: CROSS_ENTROPY(outputs, y.astype("int32"))
    refused(workload_of(y=counted_back.astype("float32"), loss=as_floats), "label -1 counts from the end")
    rare = lr_batch.from_arrays(held_out=(X[Y == 2], Y[Y == 2]), loss=CROSS_ENTROPY, **model)
    assert not any(
        "held-out label" in line for line in lr_batch.check(tiny_study(workload=rare, goal="loss<1e-3"))
    )


def test_labels_that_a_loss_reads_itself_are_free():
    """Signs for a hinge loss, ordered levels with one output fewer than levels."""
    signs = np.where(X[:, 0] > 0, 1, -1).astype("int32")
    hinge = lambda outputs, y: jnp.maximum(0, 1 - outputs[:, 0] * y)
    levels = lambda outputs, y: optax.sigmoid_binary_cross_entropy(
        outputs, (jnp.arange(3)[None] < y[:, None]).astype(jnp.float32)
    ).sum(axis=1)
    some = lambda outputs, y: optax.sigmoid_binary_cross_entropy(outputs[:, 0], y > 0)
    counted = np.arange(96) % 4
    for y, loss in (
        (signs, hinge),
        (signs / 1.0, hinge),
        (counted.astype("int32"), levels),
        (counted / 1.0, some),
    ):
        y = y.astype("int32" if y.dtype.kind == "i" else "float32")
        assert lr_batch.check(tiny_study(workload=workload_of(y=y, loss=loss, goal="loss<1e-3")))


SIGMOID, SIGNS = optax.sigmoid_binary_cross_entropy, np.where(X[:, 0] > 0, 1, -1)
ONE = (lambda key: 0.1 * jax.random.normal(key, (5,)), LINEAR[1])


@pytest.mark.parametrize(
    "y", [SIGNS, SIGNS / 1.0, 1 + (SIGNS > 0), 1.0 * Y, np.round(255 * np.abs(np.sin(X[:, 0])))]
)
def test_a_cross_entropy_of_targets_beyond_its_range_is_refused(y):
    y = y.astype("int32" if y.dtype.kind == "i" else "float32")
    refused(workload_of(ONE, y=y, loss=SIGMOID), "falls without bound .*, since targets go from .* 0 to 1")


class OneSided(nn.Module):
    """All outputs are above 0 as it begins."""

    @nn.compact
    def __call__(self, x):
        ones = nn.initializers.ones
        return nn.Dense(1, kernel_init=ones)(nn.Dense(8, kernel_init=ones)(jnp.abs(x)))[:, 0]


@pytest.mark.parametrize("sign", [1, -1])
def test_outputs_on_the_side_where_the_loss_rises_hide_nothing(sign):
    y = np.where(SIGNS > 0, 1, 1 - 2 * sign).astype("int32")  # -1, or 3: one falls below, one above
    refused(
        workload_of(OneSided(), y=y, loss=SIGMOID), "falls without bound .*, since targets go from .* 0 to 1"
    )


def test_a_likelihood_of_outputs_without_a_softmax_is_refused():
    refused(workload_of(loss=lambda z, y: -jnp.take_along_axis(z, y[:, None], 1)[:, 0]), "jax.nn.log_softmax")


@pytest.mark.parametrize(
    ("y", "loss"),
    [
        (SIGNS, lambda z, y: -z * y),
        (100_000 * Y, lambda z, y: jnp.exp(z) - y * z),
        (100 * X[:, 0], lambda z, y: (z - y) ** 2),
        (1 + (SIGNS > 0), lambda z, y: SIGMOID(z, y == 1)),
        (1.0 * (SIGNS > 0), SIGMOID),
    ],
    ids=["a critic's", "Poisson", "squares", "1 for yes, 2 for no", "of 0 and 1"],
)
def test_losses_whose_targets_may_lie_anywhere_pass(y, loss):
    y = y.astype("int32" if y.dtype.kind == "i" else "float32")
    assert lr_batch.check(tiny_study(workload=workload_of(ONE, y=y, loss=loss), goal="loss<-1e30"))


class Bag(nn.Module):
    mode: str = "fill"

    @nn.compact
    def __call__(self, x):
        table = self.param("table", nn.initializers.normal(), (49, 8))
        return nn.Dense(3)(jnp.take(table, x, axis=0, mode=self.mode).mean(axis=1))


@pytest.mark.parametrize(
    ("mode", "token", "said"),
    [
        ("fill", 49, "not finite before the first step"),
        ("clip", 49, "token 49 of the inputs is beyond its table"),
        ("fill", -1, "token -1 of the inputs counts from the end: it reads row 48"),
    ],
)
def test_tokens_out_of_range_are_refused(mode, token, said):
    x = np.random.default_rng(0).integers(0, 49, size=(96, 6)).astype("int32")
    assert lr_batch.check(tiny_study(workload=workload_of(Bag(mode), x=x)))
    x[5, 2] = token
    refused(workload_of(Bag(mode), x=x), said)


def test_weights_of_the_rows_beside_an_example_are_free():
    """They change the mean over a batch, of which an example is a part, but not what the example adds to it."""
    weights = (np.geomspace(0.01, 100, 96).astype("float32"),) * 2
    assert lr_batch.check(tiny_study(workload=workload_of(weights=weights, loss=CROSS_ENTROPY)))


@pytest.mark.parametrize("parts", [False, True])
def test_a_row_without_weight_whose_gradient_is_not_finite_is_refused_wherever_it_lies(parts):
    """The root of a square at 0 in one row of 96, of which 64 are tried for all."""
    model = (lambda key: jnp.zeros((5, 2)), lambda params, x: x @ params)
    loss = lambda outputs, y: jnp.sqrt((outputs - y) ** 2) if parts else jnp.sqrt(((outputs - y) ** 2).sum(1))
    row = next(row for row in range(96) if row not in evenly_spaced(96, 64))
    y, weights = np.ones((96, 2), np.float32), np.ones((96, 2) if parts else 96, np.float32)
    y[row, 0], weights[(row, 0) if parts else row] = 0, 0
    y[row, 1] = float(parts)
    given = dict(model=model, loss=loss, weights=(weights, weights))
    with pytest.raises(lr_batch.StudyError, match=rf"weight 0 .* rows {row} to {row}\)"):
        check_training_loss(Probe(workload_of(y=y, **given)))
    assert check_training_loss(Probe(workload_of(y=np.ones_like(y), **given)))
