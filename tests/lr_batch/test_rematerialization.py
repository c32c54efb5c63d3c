"""Gradients of losses that keep few activations: the same numbers from less memory, asked for or where none would fit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_study, tiny_workload

from lr_batch.engine import Identity, chunk_memory, within_memory
from lr_batch.engine.live_bytes import live_bytes
from lr_batch.engine.memory_limit import MemoryLimit
from lr_batch.problem.rematerialization import in_segments, rematerialised

rng = np.random.default_rng(0)
DEPTH, WIDTH, ROWS = 16, 16, 512
WEIGHTS = [rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) / WIDTH**0.5 for _ in range(DEPTH)]
BATCH = {"x": rng.normal(size=(ROWS, WIDTH)).astype(np.float32), "y": np.arange(ROWS, dtype=np.int32)}
KEY = jax.random.key(0)


def deep(params, batch, key):
    """Layers with noise, some of them compiled by themselves, over inputs of which one is of whole numbers."""
    layer = jax.jit(lambda h, w: jnp.tanh(h @ w))
    h = batch["x"] + 0.1 * jax.random.normal(key, (1, WIDTH))
    for w in params:
        h = layer(h, w)
    return jnp.square(h).sum(axis=1) + 0.0 * batch["y"]


def recurrent(params, batch, key):
    """The same weights at every step."""
    step = lambda h, x: (jnp.tanh(h @ params[0]) + jnp.sin(jnp.tanh(x @ params[1])),) * 2
    _, outputs = jax.lax.scan(step, jnp.zeros_like(batch["x"]), jnp.stack([batch["x"]] * DEPTH))
    return jnp.square(outputs).sum(axis=(0, 2))


def gradient_of(loss):
    return jax.value_and_grad(lambda params, batch, key: loss(params, batch, key).mean())


@pytest.mark.usefixtures("own_compiler")
@pytest.mark.parametrize("loss", [deep, recurrent])
def test_gradient_is_the_same_from_less_memory(loss):
    plain, light = (gradient_of(f) for f in (loss, in_segments(loss)))
    compiled = [jax.jit(f).lower(WEIGHTS, BATCH, KEY).compile() for f in (plain, light)]
    whole, less = (program.memory_analysis().temp_size_in_bytes for program in compiled)
    assert less < 0.75 * whole
    expected, found = (program(WEIGHTS, BATCH, KEY) for program in compiled)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), expected, found)
    assert np.abs(found[1][0]).max() > 1e-3


def test_what_is_estimated_falls_too():
    bytes_of = lambda loss: live_bytes(
        lambda own, shared: gradient_of(loss)(own, *shared), WEIGHTS, (BATCH, KEY)
    )
    assert bytes_of(in_segments(deep)).of(1) < 0.75 * bytes_of(deep).of(1)


def test_lanes_share_what_the_compiler_must_not_foresee():
    """A condition that differed between lanes would compute both of its branches."""
    lanes = jax.make_jaxpr(jax.vmap(gradient_of(in_segments(deep)), in_axes=(0, None, None)))
    stacked = [np.stack([w, w]) for w in WEIGHTS]
    assert " cond[" in str(lanes(stacked, BATCH, KEY))


def test_once_for_good():
    light = rematerialised(tiny_workload())
    assert rematerialised(light).loss is light.loss and in_segments(light.loss) is light.loss
    assert rematerialised(light, on=False) is light
    assert in_segments(deep) is in_segments(deep)


def test_it_is_part_of_a_trial_s_identity_and_said():
    described = lambda study: Identity.of(study, 4, "vmap").described()
    plain, light = tiny_study(), tiny_study(remat=True)
    assert described(light)["remat"] and "remat" not in described(plain)
    assert any("again" in note for note in light.notes) and not plain.notes


def deep_study(**changes):
    """Of layers that share their weights, so that activations are most of its memory."""
    loss = lambda params, batch, key: deep([params] * DEPTH, batch, key)
    workload = tiny_workload(
        init=lambda key: jnp.asarray(WEIGHTS[0]),
        loss=loss,
        evaluate=lambda params, batch: {"loss": loss(params, batch, KEY)},
        train_data=BATCH,
        eval_data={name: leaf[:4] for name, leaf in BATCH.items()},
    )
    return tiny_study(workload=workload, batch_sizes=(ROWS,), lanes="map", **changes)


@pytest.mark.parametrize(("room", "chosen"), [("whole", False), ("light", True), ("none", False)])
def test_it_is_chosen_where_a_trial_does_not_fit_otherwise(monkeypatch, room, chosen):
    study, light = deep_study(), deep_study(remat=True)
    needs = {
        name: chunk_memory(s).chunk(1, "map") + chunk_memory(s).data
        for name, s in (("whole", study), ("light", light))
    }
    assert needs["light"] < 0.9 * needs["whole"]
    limit = MemoryLimit({**needs, "none": 0.0}[room], "a test")
    monkeypatch.setattr("lr_batch.engine.memory.memory_limit", lambda: limit)
    monkeypatch.setattr("lr_batch.engine.memory.sharing_memory", lambda mesh: (jax.devices("cpu")[0], 1))
    assert within_memory(study).remat == chosen
