"""Training in another precision: what is rounded, what stays, and what says so."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lr_batch
from lr_batch.engine import Identity, make_lane
from lr_batch.lanes.lane import Draw

WORKLOAD = lr_batch.as_workload("digits_mlp", width=8)
SPACE = {"learning_rate": (0.05,), "momentum": (0.5,)}


@pytest.fixture
def wide():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def study(precision="float32", **fields):
    return lr_batch.Study(
        WORKLOAD,
        "momentum",
        batch_sizes=(8,),
        space=SPACE,
        seeds=1,
        budget=12,
        slack=float("inf"),
        extend=False,
        goal="loss<0.01",
        evaluation_share=1.0,
        precision=precision,
        **fields,
    )


def after_a_step(asked):
    """Shapes of the parameters before and of the state after one step of a lane; nothing is compiled."""
    lane = make_lane(asked.workload, asked.lane_optimizer, asked.goal.metric)
    hparams = {name: jnp.float32(values[0]) for name, values in asked.space.items()}

    def both(data):
        start = lane.init(hparams, jnp.int32(0), jnp.bool_(True))
        draw = Draw.first(jnp.int32(0), lr_batch.num_examples(data))
        return start.params, lane.step(hparams, start, draw, jnp.int32(8), data)

    return jax.eval_shape(both, asked.workload.train_data)


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}


def test_bfloat16_rounds_the_loss_and_leaves_parameters_and_evaluations_in_float32():
    full, low = study(), study("bfloat16")
    _, state = after_a_step(low)
    assert dtypes((state.params, state.opt_state)) == {np.dtype("float32")}
    params = jax.jit(full.workload.init)(jax.random.key(0))
    batch = jax.tree.map(lambda leaf: leaf[:64], full.workload.train_data)
    exact, rounded = (jax.jit(s.workload.loss)(params, batch, jax.random.key(0)) for s in (full, low))
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, rtol=0.05)
    assert float(jnp.abs(rounded - exact).max()) > 1e-4
    assert low.workload.evaluate is full.workload.evaluate
    gradient = jax.eval_shape(jax.grad(lambda p: low.workload.loss(p, batch, None).mean()), params)
    assert dtypes(gradient) == {np.dtype("float32")}


def test_float64_holds_everything_in_64_bits(wide):
    start, state = after_a_step(study("float64"))
    assert dtypes((start, state.params, state.opt_state)) == {np.dtype("float64")}


def test_trials_of_other_precisions_differ_a_little_and_are_told_apart(wide):
    curves = {}
    for precision in ("float64", "bfloat16"):
        if precision == "bfloat16":
            jax.config.update("jax_enable_x64", False)
        result = lr_batch.run(study(precision))
        assert result.optimizer == f"momentum, {precision}" and result.engine.programs_compiled == 2
        curves[precision] = result.curves[0].values
    curves["float32"] = lr_batch.run(study()).curves[0].values
    for precision, most, least in (("float64", 1e-4, 1e-9), ("bfloat16", 0.1, 1e-5)):
        apart = np.abs(curves[precision] / curves["float32"] - 1)[1:].max()
        assert least < apart < most, (precision, apart)


def test_a_study_that_is_copied_is_not_rounded_twice():
    low = study("bfloat16")
    copied = dataclasses.replace(low, seeds=2)
    assert copied.workload.loss is low.workload.loss
    one, other = (Identity.of(s, 1, "vmap").described() for s in (low, study()))
    assert one["precision"] == "bfloat16" and "precision" not in other and one["program"] != other["program"]


@pytest.mark.parametrize(
    "precision, message", [("float16", "unknown precision"), ("float64", "JAX_ENABLE_X64=1")]
)
def test_a_wrong_precision_is_one_line(precision, message):
    with pytest.raises(ValueError, match=message) as error:
        study(precision)
    assert "\n" not in str(error.value)


def test_64_bits_that_a_study_did_not_ask_for_are_refused(wide):
    with pytest.raises(lr_batch.StudyError, match="jax_enable_x64 is on"):
        lr_batch.check(study())
