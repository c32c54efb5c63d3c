"""Every registered optimizer inside of Flax's `nnx.Optimizer` and on meshes of devices."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec
from optim_rows import ROWS, params_of, step, update


@pytest.fixture(params=ROWS, scope="module")
def row(request):
    return ROWS[request.param]


def test_devices_may_hold_different_parameters(row):
    """Three steps of `lax.scan` inside of `jax.shard_map`, from a start that knows nothing of devices."""
    if not row.on_meshes:
        pytest.skip("what it takes from Optax does not")
    tx = row.optimizer({})

    def train(params):
        def body(carry, _):
            return step(tx, *carry, jax.tree.map(jnp.zeros_like, params)), None

        return jax.lax.scan(body, (params, tx.init(params)), length=3)[0][0]

    mesh = AbstractMesh((2,), ("devices",))
    spec = PartitionSpec("devices")
    params = {"b": jax.ShapeDtypeStruct((6,), jnp.float32), "w": jax.ShapeDtypeStruct((8, 4), jnp.float32)}
    after = jax.eval_shape(jax.shard_map(train, mesh=mesh, in_specs=spec, out_specs=spec), params)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, params)


def test_sharding_of_updates_and_state_is_stable(row):
    """On a mesh with explicit axes, where shardings are types: after a step as before it."""
    if not row.on_meshes:
        pytest.skip("what it takes from Optax does not")
    tx = row.optimizer({})
    mesh = AbstractMesh((2,), ("devices",), axis_types=(AxisType.Explicit,))
    sharded = lambda spec, shape: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, spec))
    params = {"b": sharded(PartitionSpec(), (4,)), "w": sharded(PartitionSpec("devices", None), (8, 4))}

    def specs(tree):
        return [jax.typeof(leaf).sharding.spec for leaf in jax.tree.leaves(tree)]

    def once(params):
        state = tx.init(params)
        updates, after = update(tx, params, state, params)
        assert specs(updates) == specs(params)
        assert specs(after) == specs(state)

    with jax.sharding.use_abstract_mesh(mesh):
        jax.eval_shape(once, params)


class Net(nnx.Module):
    """Two layers whose kernels and one bias have the shapes of attention's."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.LinearGeneral(3, (2, 2), rngs=rngs)
        self.second = nnx.LinearGeneral((2, 2), 3, axis=(-2, -1), rngs=rngs)

    def __call__(self, x):
        return self.second(jnp.tanh(self.first(x)))


def net_loss(params, x):
    """The loss of `Net` from its arrays."""
    first, second = params["first"], params["second"]
    hidden = jnp.tanh(jnp.einsum("ni,ijk->njk", x, first["kernel"]) + first["bias"][None])
    return jnp.mean((jnp.einsum("njk,jko->no", hidden, second["kernel"]) + second["bias"][None] - 1.0) ** 2)


def test_nnx_optimizer_updates_again_and_again(row):
    """Three updates of `nnx.Optimizer`, the state of which is made of variables, against the same by hand."""
    tx, model, x = row.optimizer({}), Net(nnx.Rngs(0)), jnp.asarray(params_of(0)["w"])
    value_fn = functools.partial(net_loss, x=x)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    def extra(params):
        grads = jax.grad(value_fn)(params)
        return {"value": value_fn(params), "grad": grads, "value_fn": value_fn, "grad_fn": jax.grad(value_fn)}

    @nnx.jit
    def nnx_step(model, optimizer):
        grads = nnx.grad(lambda model: jnp.mean((model(x) - 1.0) ** 2))(model)
        optimizer.update(model, grads, **extra(nnx.as_pure(nnx.state(model, nnx.Param))))

    @jax.jit
    def plain_step(params, state):
        given = extra(params)
        updates, state = tx.update(given["grad"], state, params, **given)
        return optax.apply_updates(params, updates), state

    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    state = tx.init(params)
    for _ in range(3):
        nnx_step(model, optimizer)
        params, state = plain_step(params, state)
    moved = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    for ours, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(moved), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
