"""Counters that all lanes share stay without a lane axis."""

import jax
import jax.numpy as jnp
import optax
from tiny import tiny_workload

from lr_batch import as_optimizer
from lr_batch.lanes.lane import make_lane
from lr_batch.lanes.race import state_axes


def axes_of(optimizer):
    workload = tiny_workload()
    return state_axes(
        make_lane(workload, as_optimizer(optimizer), "loss"), ["learning_rate"], workload.train_data
    )


def test_adam_shares_its_count_and_nothing_else():
    axes = axes_of(lambda hparams: optax.adam(hparams["learning_rate"]))
    adam = axes.opt_state[0]
    assert adam.count is None and adam.mu == {"w": 0} and adam.nu == {"w": 0}
    assert axes.params == {"w": 0} and axes.alive == 0


def test_count_that_depends_on_a_hyperparameter_differs_between_lanes():
    def optimizer(hparams):
        def update(updates, count, params=None):
            return updates, count + jnp.where(hparams["learning_rate"] > 1.0, 2, 1)

        return optax.GradientTransformation(lambda params: jnp.int32(0), update)

    assert axes_of(optimizer).opt_state == 0


def test_state_that_becomes_different_after_two_steps_is_found():
    """The first leaf depends on the second, which depends on the gradient one step before."""

    def optimizer(hparams):
        def update(updates, state, params=None):
            return updates, (state[1], updates["w"].sum())

        return optax.GradientTransformation(lambda params: (jnp.float32(0), jnp.float32(0)), update)

    assert axes_of(optimizer).opt_state == (0, 0)


def test_conditional_on_a_shared_count_stays_a_branch():
    """Under vmap a condition that differs between lanes becomes a select of both branches."""

    def every_ten_steps(hparams):
        def update(updates, count, params=None):
            scale = jax.lax.cond(count % 10 == 0, lambda: jnp.sin(updates["w"]).sum(), lambda: jnp.float32(1))
            return jax.tree.map(lambda g: -scale * g, updates), count + 1

        return optax.GradientTransformation(lambda params: jnp.int32(0), update)

    workload = tiny_workload()
    import numpy as np

    from lr_batch.engine.programs import Engine
    from lr_batch.engine.terms import terms_of
    from lr_batch.lanes.race import make_advance, make_start

    lane = make_lane(workload, as_optimizer(every_ten_steps), "loss")
    axes = axes_of(every_ten_steps)
    assert axes.opt_state is None
    carry = jax.eval_shape(
        make_start(lane, axes, 40, 5), {"learning_rate": jnp.ones(3)}, 0, jnp.ones(3, bool), 1.0
    )
    engine = Engine(
        workload,
        as_optimizer(every_ten_steps),
        "loss",
        hparams=["learning_rate"],
        width=3,
        max_evals=5,
        batch_sizes=(4,),
    )
    terms = terms_of([{"learning_rate": 1.0}] * 3, 3, batch_size=1, cadence=np.arange(5, dtype=np.int32))
    jaxpr = str(jax.make_jaxpr(make_advance(lane, axes))(carry, terms, 5, engine.data(jax.devices()[0])))
    branch = jaxpr[jaxpr.index("sin") - 2000 : jaxpr.index("sin")]
    assert "cond[" in branch
