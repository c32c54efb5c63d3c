"""Metrics of the whole held-out set: against scikit-learn, over blocks of any size, and as goals."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import metrics as theirs
from tiny import sgd

import lr_batch
from lr_batch.lanes.evaluation import metrics_over_blocks
from lr_batch.lanes.held_out_blocks import in_blocks

rng = np.random.default_rng(0)
N = 57
X = rng.normal(size=(N, 4)).astype("float32")
START = {"w": rng.normal(size=(4, 2)).astype("float32")}
WEIGHTS = rng.integers(0, 4, N).astype("float32")
LINEAR = (lambda key: START, lambda params, x: x @ params["w"])
LOGIT = (lambda key: START, lambda params, x: x @ params["w"][:, 0])
SQUARES = lambda outputs, y: jnp.square(outputs - y).reshape(len(y), -1).mean(axis=1)
BINARY = lambda outputs, y: optax.sigmoid_binary_cross_entropy(outputs, y).reshape(len(y), -1).mean(axis=1)
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels


def made(model, y, loss, goal="loss<0.1", **fields):
    return lr_batch.from_arrays(model, train=(X, y), held_out=(X, y), loss=loss, goal=goal, **fields)


def measured(workload, name, block):
    """A metric with these parameters, over blocks of at most so many rows."""
    blocks, mask = in_blocks(workload.eval_data, block)
    return float(metrics_over_blocks(workload, START, (name,), blocks, mask)[name])


def counts(state, outputs, y, weights):
    found, wanted = outputs > 0, y == 1
    return state + jnp.stack([weights @ (found & wanted), weights @ found, weights @ wanted])


F1 = (lambda: jnp.zeros(3), counts, lambda s: 2 * s[0] / (s[1] + s[2]))
TWO = X @ rng.normal(size=(4, 2)) + rng.normal(size=(N, 2)) + [100.0, -3.0]  # one column far from 0
LABELS = (X[:, :2] + rng.normal(size=(N, 2)) > 0.5).astype("int32")
TIED = (lambda key: START, lambda params, x: jnp.round(x @ params["w"]))
CLASSES = (X[:, 2] + rng.normal(size=N) > 0).astype("int32")
out = lambda: X @ START["w"]
cross = lambda: np.asarray(CROSS_ENTROPY(out(), CLASSES), np.float64)
ROWS = {
    "r2": (LINEAR, TWO.astype("float32"), SQUARES, lambda y, w: theirs.r2_score(y, out(), sample_weight=w)),
    "rmse": (LINEAR, TWO.astype("float32"), SQUARES,
             lambda y, w: theirs.mean_squared_error(y, out(), sample_weight=w) ** 0.5),
    "perplexity": (LINEAR, CLASSES, CROSS_ENTROPY, lambda y, w: np.exp(np.average(cross(), weights=w))),
    "average_precision": (LINEAR, LABELS, BINARY, lambda y, w: theirs.average_precision_score(
        y.ravel(), out().ravel(), sample_weight=np.repeat(w, 2))),
    "average_precision, tied": (TIED, LABELS.astype("float32"), BINARY, lambda y, w: theirs.average_precision_score(
        y.ravel(), np.round(out()).ravel(), sample_weight=np.repeat(w, 2))),
    "f1": (LOGIT, LABELS[:, 0], BINARY, lambda y, w: theirs.f1_score(y, out()[:, 0] > 0, sample_weight=w)),
    "error": (LINEAR, CLASSES, CROSS_ENTROPY, lambda y, w: np.average(out().argmax(1) != y, weights=w)),
}  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("row", ROWS)
def test_metrics_are_those_of_scikit_learn_over_blocks_of_any_size(row, weighted):
    model, y, loss, oracle = ROWS[row]
    weights = WEIGHTS if weighted else None
    own = {"f1": F1} if row == "f1" else None
    pair = None if weights is None else (weights, weights)
    workload = made(model, y, loss, weights=pair, metrics=own)
    expected = oracle(y, weights if weighted else np.ones(N))
    for block in (1, 7, 19, N, 512):
        assert measured(workload, row.partition(",")[0], block) == pytest.approx(expected, rel=2e-5), block


def test_what_makes_no_sense_is_not_offered():
    offered = lambda *row: set(jax.eval_shape(row[0].evaluate, START, row[0].eval_data))
    assert offered(made(LINEAR, CLASSES, CROSS_ENTROPY)) == {"loss", "error", "perplexity"}
    assert offered(made(LINEAR, TWO.astype("float32"), SQUARES)) == {"loss", "r2", "rmse"}
    assert offered(made(LINEAR, np.ones((N, 2), "float32") * 3, SQUARES)) == {"loss", "rmse"}  # no variance
    assert offered(made(LOGIT, LABELS[:, 0], BINARY)) == {"loss", "error", "average_precision"}
    assert offered(made(LINEAR, np.zeros((N, 2), "int32"), BINARY)) == {"loss"}  # no positive


@pytest.mark.parametrize(
    ("name", "metric", "said"),
    [
        ("f1", (lambda: jnp.zeros(2), counts, F1[2]), "accumulate of f1 failed"),
        (
            "f1",
            (lambda: 0, lambda s, o, y, w: s + w.sum(), lambda s: s / 1.0),
            "state like that of init, int32",
        ),
        (
            "f1",
            (F1[0], counts, lambda s: s),
            "finish of f1 must return one floating-point number, got float32",
        ),
        (
            "f1",
            lambda outputs, y: outputs,
            "averaged over examples, which f1 is not: it is a ratio of counts",
        ),
        ("f1", (1, 2, 3), r"triple \(init, accumulate, finish\)"),
    ],
)
def test_a_metric_that_is_none_is_refused(name, metric, said):
    with pytest.raises(ValueError, match=said) as refused:
        made(LOGIT, LABELS[:, 0], BINARY, metrics={name: metric})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "accumulate",
    [
        lambda s, outputs, y, w: jnp.maximum(s, jnp.mean(jnp.square(outputs - y))),  # a mean of the block
        lambda s, outputs, y, w: s + jnp.sum(jnp.square(outputs - y)),  # rows that fill it count
    ],
)
def test_a_metric_that_follows_the_blocks_is_refused(accumulate):
    own = (lambda: jnp.zeros(()), accumulate, lambda s: s)
    workload = made(LOGIT, TWO[:, 1].astype("float32"), SQUARES, metrics={"own": own}, goal="own<1e-3")
    with pytest.raises(
        lr_batch.StudyError, match="own is .* where the same examples are cut into other blocks"
    ):
        lr_batch.check(lr_batch.Study(workload, sgd))


def study(goal, model, y, loss, **fields):
    workload = made(model, y, loss, goal, budget=60, **fields)
    space = {"learning_rate": (0.1, 0.3)}
    return lr_batch.Study(
        workload,
        sgd,
        batch_sizes=(16,),
        space=space,
        seeds=1,
        slack=np.inf,
        extend=False,
        evaluation_share=1.0,
    )


SMALL = (X[:, 0] - X[:, 1] + rng.normal(size=N) / 2).astype("float32")
ZERO = lambda key: {"w": jnp.zeros((4, 2))}


@pytest.mark.parametrize(
    ("goal", "same", "y", "loss", "model"),
    [
        ("perplexity<1.8", f"loss<{np.log(1.8)}", CLASSES, CROSS_ENTROPY, LINEAR),
        ("rmse<0.9", "loss<0.81", SMALL, SQUARES, (ZERO, LOGIT[1])),
        ("r2>0.6", f"loss<{0.4 * SMALL.var()}", SMALL, SQUARES, (ZERO, LOGIT[1])),
    ],
)
def test_a_goal_is_reached_where_that_of_the_loss_is(goal, same, y, loss, model):
    """However it is stated: the average is taken of the mean over examples."""
    one, other = (lr_batch.run(study(text, model, y, loss)) for text in (goal, same))
    assert np.isfinite(one.steps_to_goal).sum() >= 2
    np.testing.assert_allclose(one.steps_to_goal, other.steps_to_goal, rtol=1e-3)
    again = lr_batch.at_goal(one, one.goal)
    np.testing.assert_allclose(again.steps_to_goal, one.steps_to_goal, rtol=1e-3)


@pytest.mark.parametrize(
    ("goal", "y", "loss", "model"),
    [
        ("average_precision>0.7", LABELS[:, 0], BINARY, LOGIT),
        ("f1>0.78", LABELS[:, 0], BINARY, (ZERO, LOGIT[1])),
    ],
)
def test_other_metrics_are_goals_too(goal, y, loss, model):
    reached = lr_batch.run(study(goal, model, y, loss, metrics={"f1": F1} if "f1" in goal else None))
    assert np.isfinite(reached.steps_to_goal).any()


@pytest.mark.parametrize(
    ("goal", "meant"),
    [("perplexity>40", "perplexity < 40"), ("r2<0.8", "r2 > 0.8"), ("rmse>3", "rmse < 3"), ("loss>0.2", "loss < 0.2"),
     ("average_precision<0.31", "average_precision > 0.31"), ("val_nll>0.1", "val_nll < 0.1")],
)  # fmt: skip
def test_a_goal_in_the_wrong_direction_is_refused(goal, meant):
    from lr_batch.problem.goal import check_direction, parse_goal

    with pytest.raises(lr_batch.StudyError, match=f"is better, but the goal is .*: write '{meant}'$"):
        check_direction("own", parse_goal(goal))
    check_direction("own", parse_goal(meant))


@pytest.mark.parametrize("goal", ["perplexity<1", "r2>1", "rmse<0", "average_precision>1.5", "error<0"])
def test_a_goal_that_no_model_reaches_is_refused(goal):
    with pytest.raises(
        ValueError, match=f"cannot be reached: {goal.partition('<')[0].partition('>')[0]} is at"
    ):
        made(LINEAR, CLASSES, CROSS_ENTROPY, goal)


def test_a_high_loss_is_no_divergence_by_its_perplexity():
    workload = made(LINEAR, CLASSES, CROSS_ENTROPY)
    large = {"w": START["w"] * 1e4}
    blocks, mask = in_blocks(workload.eval_data, 16)
    values = metrics_over_blocks(workload, large, ("loss", "perplexity"), blocks, mask)
    assert values["loss"] > 100 and np.isfinite(values["perplexity"])
    lost = {"w": START["w"] * np.nan}
    assert np.isnan(metrics_over_blocks(workload, lost, ("perplexity",), blocks, mask)["perplexity"])
