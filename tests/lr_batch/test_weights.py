"""Weights of examples and of tokens in losses and metrics, against weighted means written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.metrics import average_precision_score
from tiny import sgd

import lr_batch
from lr_batch.lanes.batch_pass import batch_value_and_grad
from lr_batch.lanes.evaluation import metrics_over_blocks
from lr_batch.lanes.held_out_blocks import in_blocks
from lr_batch.lanes.lane import Draw, make_lane
from lr_batch.lanes.micro_batch import MicroBatch

rng = np.random.default_rng(0)
N, LENGTH, CLASSES = 40, 6, 4
X = rng.normal(size=(N, 5)).astype("float32")
Y = rng.integers(0, CLASSES, N).astype("int32")
WEIGHTS = rng.uniform(0, 3, N).round().astype("float32")
TOKENS = rng.integers(1, CLASSES, (N, LENGTH)).astype("int32")
USED = np.arange(LENGTH) < rng.integers(1, LENGTH + 1, N)[:, None]
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels
LINEAR = (
    lambda key: {"w": jnp.arange(5.0 * CLASSES).reshape(5, CLASSES) % 7 / 9},
    lambda params, x: x @ params["w"],
)
BIGRAM = (
    lambda key: {"w": jnp.sin(jnp.arange(CLASSES**2.0)).reshape(CLASSES, CLASSES)},
    lambda params, x: params["w"][x],
)


def made(model=LINEAR, x=X, y=Y, weights: object = (WEIGHTS, None), goal="loss<0.1", **fields):
    data = {"train": (x, y), "held_out": (x, y), "loss": CROSS_ENTROPY, "goal": goal, "weights": weights}
    return lr_batch.from_arrays(model, **(data | fields))


def text(y=TOKENS, **fields):
    weights = fields.pop("weights", (USED, USED))
    return made(BIGRAM, TOKENS, y, weights, **fields)


def gradient_of(workload, params, batch_size, examples):
    draw = Draw.first(jnp.int32(3), N)
    data = jax.tree.map(jnp.asarray, workload.train_data)
    micro_batches = (MicroBatch(examples),)
    value_and_grad = batch_value_and_grad(workload, draw, jnp.int32(batch_size), micro_batches, data)
    return np.asarray(draw.orders[:batch_size]), *jax.jit(value_and_grad)(params)


@pytest.mark.parametrize("make", [made, text])
def test_a_step_takes_the_weighted_mean_of_the_whole_batch_whatever_the_micro_batch(make):
    workload = make()
    params = workload.init(jax.random.key(0))

    @jax.jit
    @jax.value_and_grad
    def by_hand(params, rows):
        data = {name: jnp.asarray(array)[rows] for name, array in workload.train_data.items()}
        losses = CROSS_ENTROPY((LINEAR if make is made else BIGRAM)[1](params, data["x"]), data["y"])
        return jnp.sum(losses * data["weights"]) / data["weights"].sum()

    for examples in (1, 4, 7, 16):
        rows, value, grads = gradient_of(workload, params, 14, examples)
        expected, gradient = by_hand(params, rows)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        np.testing.assert_allclose(grads["w"], gradient["w"], rtol=1e-5, atol=1e-7)


def test_a_batch_without_any_weight_has_no_loss_and_no_gradient():
    order = np.asarray(Draw.first(jnp.int32(3), N).orders[:N])
    weights = np.ones(N, np.float32)
    weights[order[:8]] = 0
    workload = made(weights=(weights, None))
    params = workload.init(jax.random.key(0))
    _, value, grads = gradient_of(workload, params, 8, 4)
    assert value == 0 and not np.asarray(grads["w"]).any()
    lane = make_lane(workload, lr_batch.as_optimizer("adam"), "loss", (MicroBatch(4),))
    hparams = {"learning_rate": jnp.float32(0.1)}
    state = lane.init(hparams, jnp.int32(3), jnp.bool_(True))
    data = jax.tree.map(jnp.asarray, workload.train_data)
    after = jax.jit(lane.step)(hparams, state, Draw.first(jnp.int32(3), N), jnp.int32(8), data)
    assert after.alive
    np.testing.assert_array_equal(after.params["w"], state.params["w"])


def test_equal_weights_change_nothing():
    plain, weighted = made(weights=None), made(weights=(np.full(N, 2.0), None))
    params = plain.init(jax.random.key(0))
    for one, other in zip(*(gradient_of(w, params, 14, 4)[1:] for w in (plain, weighted)), strict=True):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("block", [3, 16, 64])
def test_what_is_masked_does_not_count_in_metrics(block):
    """Padding of a sequence may hold anything, as with -100 in the targets."""
    padded = text(np.where(USED, TOKENS, -100))
    params = padded.init(jax.random.key(0))
    blocks, mask = in_blocks(padded.eval_data, block)
    names = ("loss", "error", "perplexity")
    values = jax.jit(lambda *given: metrics_over_blocks(padded, params, names, *given))(blocks, mask)
    logits = np.asarray(params["w"])[TOKENS]
    loss = np.asarray(CROSS_ENTROPY(logits, TOKENS))[USED].mean()
    np.testing.assert_allclose(values["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(values["perplexity"], np.exp(loss), rtol=1e-5)
    np.testing.assert_allclose(values["error"], (logits.argmax(-1) != TOKENS)[USED].mean(), rtol=1e-5)
    loss_of = lambda p: padded.loss(p, padded.train_data, jax.random.key(0)).sum()
    gradient = jax.jit(jax.grad(loss_of))(params)
    assert np.isfinite(gradient["w"]).all()


def test_a_masked_workload_passes_the_checks_and_trains():
    workload = text(np.where(USED, TOKENS, -100), goal="perplexity<2.9", budget=40)
    space = {"learning_rate": (3.0,)}
    study = lr_batch.Study(workload, sgd, batch_sizes=(8,), space=space, seeds=1, extend=False)
    assert "labels: 1 to 3, each with a loss of its own" in lr_batch.check(study)
    assert np.isfinite(lr_batch.run(study).steps_to_goal).all()


def test_the_noise_scale_weighs_examples():
    """An example of weight 2 is one that is there twice."""
    weights = np.where(np.arange(N) < N // 2, 2.0, 1.0)
    twice = np.concatenate([np.arange(N), np.arange(N // 2)])
    workloads = made(weights=(weights, None)), made(x=X[twice], y=Y[twice], weights=None)
    measured = [
        lr_batch.measure_noise_scale(w, w.init(jax.random.key(0)), jax.random.key(1), draws=400).signal
        for w in workloads
    ]
    assert measured[0] == pytest.approx(measured[1], rel=0.15)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (WEIGHTS, "weights must be a pair"),
        ((WEIGHTS[:-1], None), r"weights of train must have shape \(40,\) or \(40, 6\), .* got \(39,\)"),
        ((USED[:, :-1], None), r"must have shape \(40,\) or \(40, 6\)"),
        ((-WEIGHTS, None), "weights of train must be at least 0, and some above"),
        ((None, 0 * WEIGHTS), "weights of held_out must be at least 0, and some above, got 0 to 0"),
        ((USED, WEIGHTS), r"have shape \(6,\) in train, \(\) in held_out"),
        ((WEIGHTS * np.nan, None), "not finite"),
        ((WEIGHTS, None), r"loss must return one value for each example"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, said):
    with pytest.raises(ValueError, match=said) as refused:
        text(weights=weights)
    assert "\n" not in str(refused.value)


def test_a_loss_that_is_averaged_before_its_weights_is_refused():
    with pytest.raises(
        ValueError, match=r"loss must return one value for each weight, \(2, 6\) for 2 examples"
    ):
        text(loss=lambda outputs, y: CROSS_ENTROPY(outputs, y).mean(-1))


@pytest.mark.parametrize("binary", [False, True])
def test_metrics_of_parts_that_are_vectors_weigh_the_parts(binary):
    """Targets [n, 6, 2] with a weight for each of the 6."""
    y = rng.normal(size=(N, LENGTH, 2)).astype("float32")
    y = (y > 0).astype("int32") if binary else y
    model = (
        lambda key: {"w": jnp.ones((5, 12)) / 9},
        lambda params, x: (x @ params["w"]).reshape(-1, LENGTH, 2),
    )
    squares = lambda outputs, y: jnp.square(outputs - y).mean(axis=-1)
    weights = USED.astype("float32")
    workload = lr_batch.from_arrays(
        model, train=(X, y), held_out=(X, y), loss=squares, goal="loss<0.1", weights=(weights, weights)
    )
    blocks, mask = in_blocks(workload.eval_data, 16)
    name = "average_precision" if binary else "rmse"
    value = metrics_over_blocks(workload, {"w": jnp.ones((5, 12)) / 9}, (name,), blocks, mask)[name]
    outputs = (X @ np.ones((5, 12), "float32") / 9).reshape(N, LENGTH, 2)
    spread = np.repeat(weights[..., None], 2, axis=-1).ravel()
    if binary:
        truth = average_precision_score(y.ravel(), outputs.ravel(), sample_weight=spread)
    else:
        truth = np.sqrt(np.average(np.square(outputs - y).ravel(), weights=spread))
    assert float(value) == pytest.approx(truth, rel=1e-5)
