"""What a study could get wrong without an error is refused before training, each kind through `lr_batch.run`."""

from __future__ import annotations

import time
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import tiny_study, tiny_workload

import lr_batch
import optim
from lr_batch import StudyError

rng = np.random.default_rng(0)
X = rng.normal(size=(96, 5)).astype("float32")
Y = np.argmax(X[:, :3], axis=1).astype("int32")
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels
DIGITS = lr_batch.as_workload("digits_mlp")
LINEAR = (lambda key: 0.1 * jax.random.normal(key, (5, 3)), lambda params, x: x @ params)


def workload_of(model=LINEAR, x=X, y=Y, loss=CROSS_ENTROPY, goal="loss<0.1", **fields):
    return lr_batch.from_arrays(model, train=(x, y), held_out=(x, y), loss=loss, goal=goal, **fields)


def refused(workload=None, said="", **fields):
    """The study is refused with this line and nothing is trained."""
    study = tiny_study(**({"workload": workload} if workload else {}), batch_sizes=(4,), seeds=1, **fields)
    with pytest.raises(StudyError, match=said) as error:
        lr_batch.run(study)
    assert "\n" not in str(error.value)


def test_a_study_in_order_passes_quickly_and_says_what_was_checked():
    study = lr_batch.Study()
    began = time.process_time()
    said = lr_batch.check(study)
    assert time.process_time() - began < 2.0
    assert [line.partition(":")[0] for line in said] == [
        "optimizer",
        "training loss",
        "labels",
        "noise",
        "examples",
        "held-out metrics",
    ]
    again = time.process_time()
    assert lr_batch.check(study) is said and time.process_time() - again < 0.05


@pytest.mark.parametrize("name", ["digits_cnn", "noisy_quadratic", "pydoc_lm"])
def test_workloads_of_the_registry_pass(name):
    assert lr_batch.check(lr_batch.Study(workload=name, seeds=1))


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
    "contrastive": (LINEAR, rng.normal(size=(96, 3)).astype("float32"), contrastive),
    "errors that broadcast": ((lambda key: jnp.zeros((5, 1)), LINEAR[1]), X[:, 0] * 2, rank_free),
    "divided by the batch": (LINEAR, Y, lambda outputs, y: CROSS_ENTROPY(outputs, y) / len(y)),
    "weights by place": (LINEAR, Y, lambda outputs, y: CROSS_ENTROPY(outputs, y) * (1 + jnp.arange(len(y)))),
    "a share of its neighbour": (
        LINEAR,
        Y,
        lambda outputs, y: CROSS_ENTROPY(outputs + 0.1 * jnp.roll(outputs, 1, 0), y),
    ),
}


@pytest.mark.parametrize("kind", COUPLED)
def test_examples_that_meet_are_refused(kind):
    model, y, loss = COUPLED[kind]
    refused(workload_of(model, y=y, loss=loss), "examples must be independent")


def test_a_metric_of_examples_that_meet_is_refused():
    centred = lambda outputs, y: jnp.abs(outputs[:, 0] - jnp.mean(outputs[:, 0]))
    refused(workload_of(metrics={"centred": centred}), "the centred of held-out row")


def test_noise_does_not_hide_examples_that_meet():
    def apply(params, x, key=None):
        noise = 0.0 if key is None else jax.random.normal(key, x.shape)
        return normalized(params, x + noise)

    refused(workload_of((LINEAR[0], apply)), "examples must be independent")


@pytest.mark.parametrize(
    ("y", "loss", "said"),
    [
        (Y + 1, CROSS_ENTROPY, r"loss of \d+ of 96 training examples is not finite .*first: row \d+"),
        (np.where(Y == 2, -1, Y), CROSS_ENTROPY, "label -1 counts from the end: it trains class 2"),
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
    ],
)
def test_labels_out_of_range_are_refused(y, loss, said):
    refused(workload_of(y=y.astype("int32"), loss=loss), said)


def test_labels_that_a_loss_reads_itself_are_free():
    """Signs for a hinge loss, ordered levels with one output fewer than levels."""
    signs = np.where(X[:, 0] > 0, 1, -1).astype("int32")
    hinge = lambda outputs, y: jnp.maximum(0, 1 - outputs[:, 0] * y)
    levels = lambda outputs, y: optax.sigmoid_binary_cross_entropy(
        outputs, (jnp.arange(3)[None] < y[:, None]).astype(jnp.float32)
    ).sum(axis=1)
    for y, loss in ((signs, hinge), (np.arange(96, dtype="int32") % 4, levels)):
        assert lr_batch.check(tiny_study(workload=workload_of(y=y, loss=loss, goal="loss<1e-3")))


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


def test_a_metric_that_is_not_finite_is_named():
    metrics = {"mape": lambda outputs, y: jnp.abs(outputs[:, 0] - y) / y}
    loss = lambda outputs, y: (outputs[:, 0] - y) ** 2
    y = np.maximum(X[:, 0], 0)
    refused(
        workload_of(y=y, loss=loss, metrics=metrics), r"mape of \d+ of 96 held-out examples is not finite"
    )


def test_a_gradient_that_is_not_finite_or_zero_is_refused():
    norm = lambda outputs, y: jnp.sqrt(jnp.sum((outputs - 1.0) ** 2, axis=1))
    model = (lambda key: jnp.zeros((5, 3)), lambda params, x: 1.0 + x @ params)
    refused(workload_of(model, loss=norm), "the gradient of the parameters is not finite at the first step")
    steps = lambda outputs, y: (jnp.argmax(outputs, axis=1) != y).astype(jnp.float32)
    refused(workload_of(loss=steps), "the gradient of the loss is zero")


def test_a_goal_met_by_the_untrained_model_is_refused():
    refused(said=r"held-out loss is 1.099 before the first step \(seed 0\): the goal", goal="loss<3")


@pytest.mark.parametrize("name", ["top1_error", "dice_loss", "topology"])
def test_a_goal_of_which_less_is_better_passes(name):
    metrics = {name: lambda outputs, y: (jnp.argmax(outputs, axis=1) != y).astype(jnp.float32)}
    assert lr_batch.check(tiny_study(workload=workload_of(metrics=metrics, goal=f"{name}<0.1")))


@pytest.mark.parametrize("name", ["accuracy", "top1_accuracy", "val_acc", "top_3", "acc5"])
def test_a_goal_in_the_wrong_direction_is_refused(name):
    metrics = {name: lambda outputs, y: (jnp.argmax(outputs, axis=1) == y).astype(jnp.float32)}
    wrong = workload_of(metrics=metrics, goal=f"{name}<0.95")
    refused(wrong, f"more {name} is better, but the goal is {name} < 0.95: write '{name} > 0.95'")
    with pytest.raises(StudyError, match="is better, but the goal is"):
        lr_batch.check(tiny_study(workload=wrong), to_goal=False)
    assert lr_batch.check(tiny_study(workload=wrong, goal=f"{name}>0.95"))
    refused(wrong, f"the goal {name} > 0.01 is met already; take a higher one$", goal=f"{name}>0.01")


def test_a_loss_is_never_raised_and_a_name_that_says_nothing_may_mean_either():
    refused(said="less loss is better, but the goal is loss > 3: write 'loss < 3'$", goal="loss>3")
    score = {"score": lambda outputs, y: (jnp.argmax(outputs, axis=1) == y).astype(jnp.float32)}
    named = workload_of(metrics=score, goal="score>0.9")
    refused(named, "take a higher one, or did you mean 'score < 0.01'?", goal="score>0.01")
    refused(named, "take a lower one, or did you mean 'score > 0.95'?", goal="score<0.95")


def own_rate(hparams):
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))


def own_momentum(hparams):
    return optax.sgd(hparams["learning_rate"], momentum=0.9)


def test_a_hyperparameter_that_nothing_reads_is_refused():
    refused(said="own_rate does not read learning_rate for", optimizer=own_rate)
    space = {"learning_rate": (0.1, 1.0), "momentum": (0.5, 0.9)}
    refused(said="own_momentum does not read momentum", optimizer=own_momentum, space=space)
    refused(said="sgd does not read weightdecay", space={"learning_rate": (0.1,), "weightdecay": (0.1,)})


@pytest.mark.parametrize(
    "rate", [lambda rate: 0.1 + 0 * rate, lambda rate: jnp.where(rate > 100, rate, 0.1), lambda rate: rate**0]
)
def test_a_rate_that_is_read_in_vain_is_refused(rate):
    refused(
        said="takes the same steps whatever it is", optimizer=lambda h: optax.sgd(rate(h["learning_rate"]))
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda h: optax.chain(optax.sgd(h["learning_rate"]), optax.clip(1e-3)),
        lambda h: optax.MultiSteps(optax.sgd(h["learning_rate"]), 50).gradient_transformation(),
        lambda h: optax.sgd(lambda count: h["learning_rate"] * jnp.minimum(1.0, count / 100)),
        lambda h: optax.contrib.schedule_free_sgd(h["learning_rate"]),
    ],
    ids=["clipped", "every 50th step", "warm-up from zero", "averaged"],
)
def test_a_rate_that_acts_late_or_within_limits_passes(make):
    assert lr_batch.check(tiny_study(optimizer=make, space={"learning_rate": (0.1, 0.3)}))


def in_vain(momentum):
    return lambda h: optax.sgd(h["learning_rate"], momentum=momentum(h["momentum"]))


@pytest.mark.parametrize(
    "momentum",
    [lambda m: 0.9 + 0 * m, lambda m: jnp.where(m > -1, 0.9, m), lambda m: 0.9 * m**0],
)
def test_any_hyperparameter_that_is_read_in_vain_is_refused(momentum):
    space = {"learning_rate": (0.1, 0.3), "momentum": (0.5, 0.9)}
    refused(said="reads momentum, but takes the same steps", optimizer=in_vain(momentum), space=space)


def late_drop(h):
    """Its rate falls after ten thousand steps."""
    return optax.sgd(lambda count: h["learning_rate"] * jnp.where(count > 10_000, h["factor"], 1.0))


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [
        (lambda h: optax.adam(h["learning_rate"], eps=h["eps"]), "eps", (1e-12, 1e-10)),
        (late_drop, "factor", (0.1, 0.5)),
        (
            lambda h: optax.sgd(lambda count: h["learning_rate"] * jnp.where(count < h["steps"], 1.0, 0.1)),
            "steps",
            (1_000, 5_000),
        ),
        (in_vain(lambda m: m), "momentum", (0.5, 0.9)),
    ],
    ids=["too small to be seen", "late", "a length", "plain"],
)
def test_a_hyperparameter_that_acts_weakly_or_late_passes(make, name, values):
    assert lr_batch.check(tiny_study(optimizer=make, space={"learning_rate": (0.1, 0.3), name: values}))


@pytest.mark.parametrize("name", [name for name in optim.OPTIMIZERS])
def test_registered_optimizers_read_what_they_say(name):
    from lr_batch.checks.optimizer import check_optimizer

    row = optim.OPTIMIZERS[name]
    defaults = {key: (valid.default,) for key, valid in row.hparams.items() if valid.default is not None}
    study = tiny_study(workload=DIGITS, optimizer=name, space={**defaults, **row.space})
    (said,) = check_optimizer(study)
    assert all(key in said for key in defaults)


def one_row(hparams):
    return optax.stateless(lambda updates, params: jax.tree.map(lambda g: -0.1 * g[:1], updates))


def widening(hparams):
    """A state that becomes an array of another dtype."""
    update = lambda updates, state, params=None: (
        jax.tree.map(lambda g: -hparams["learning_rate"] * g, updates),
        state + 0.5,
    )
    return optax.GradientTransformation(lambda params: jnp.int32(0), update)


def pruned(hparams):
    return optax.stateless(lambda updates, params: {})


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (one_row, r"the update of w has shape \(1, 3\), its parameter \(5, 3\)"),
        (widening, "after a step its state .* is float32, before it int32"),
        (pruned, "another tree than"),
        (lambda hparams: None, "must return an optax.GradientTransformation, got NoneType"),
    ],
)
def test_an_update_of_another_shape_is_refused(optimizer, said):
    refused(said=said, optimizer=optimizer)


def warmup_cosine(hparams):
    return optax.adam(optax.warmup_cosine_decay_schedule(0.0, hparams["learning_rate"], 20, 200))


def as_float(hparams):
    return optax.adam(float(hparams["learning_rate"]))


def decided(hparams):
    return optax.sgd(hparams["learning_rate"] if hparams["learning_rate"] > 0.5 else 0.5)


def short_name(hparams):
    return optax.sgd(hparams["lr"])


def leaves(hparams):
    raise SystemExit(4)


def lookahead(hparams):
    return optax.lookahead(optax.sgd(hparams["learning_rate"]), sync_period=5, slow_step_size=0.5)


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (warmup_cosine, r"test_checks.py, line \d+\); hyperparameters are traced.*lr_batch.SCHEDULES"),
        (as_float, r"test_checks.py, line \d+\); hyperparameters are traced"),
        (decided, r"test_checks.py, line \d+\); hyperparameters are traced"),
        (short_name, "KeyError: 'lr'.*searched are learning_rate"),
        (lookahead, "given the model's parameters as they are"),
        (leaves, r"cannot be built: SystemExit: 4 \(test_checks.py"),
        (optax.adam, r"write lambda hparams: adam\(hparams\['learning_rate'\]\)"),
        (optax.sgd, r"write lambda hparams: sgd\(hparams\['learning_rate'\]\)"),
    ],
)
def test_an_optimizer_that_cannot_be_built_says_where_and_what_to_do(optimizer, said):
    refused(said=said, optimizer=optimizer)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"learning_rate": (1e-46, 0.1)}, "1e-46 becomes 0 in float32"),
        ({"learning_rate": (1e-42, 0.1)}, "1e-42 becomes 0 in float32"),
        ({"learning_rate": (1e39,)}, "becomes infinite in float32"),
        ({"learning_rate": (0.1, 0.1000000001)}, "are the same number in float32"),
        (
            {"learning_rate": (0.1,), "b2": (0.99999999,)},
            r"b2 0.99999999 is 1 in float32, and must be in \[0, 1\)",
        ),
    ],
)
def test_values_that_float32_cannot_hold_are_refused(space, said):
    with pytest.raises(ValueError, match=said):
        tiny_study(optimizer="adam", space=space)


@pytest.mark.parametrize("size", [0, -1, 1.5, float("nan"), False, None])
def test_a_micro_batch_must_be_a_whole_number(size):
    with pytest.raises(ValueError, match="micro_batch must be a whole number >= 1"):
        tiny_study(workload=tiny_workload(micro_batch=size))
    with pytest.raises(ValueError, match="micro_batch must be a whole number >= 1"):
        workload_of(micro_batch=size)


@pytest.mark.parametrize("switch", ["jax_enable_x64", "jax_debug_nans", "jax_debug_infs", "jax_disable_jit"])
def test_switches_of_jax_are_refused_in_one_line(switch):
    study = tiny_study()
    before = getattr(jax.config, switch)
    jax.config.update(switch, True)
    try:
        with pytest.raises(StudyError, match=f"{switch} is on: "):
            lr_batch.check(study)
    finally:
        jax.config.update(switch, before)


def test_slips_of_the_keyboard_are_one_line():
    with pytest.raises(ValueError, match="slack must be"):
        tiny_study(slack=None)
    with pytest.raises(ValueError, match="evaluate must return metrics by name, got NoneType"):
        tiny_study(workload=tiny_workload(evaluate=lambda params, batch: None))
    goal = tiny_study(goal=lr_batch.Goal("loss", cast(float, np.float32(0.25)))).goal
    assert type(goal.threshold) is float
    assert lr_batch.run(tiny_study(goal=goal, batch_sizes=(4,), seeds=1, budget=3)).num_trials == 4
