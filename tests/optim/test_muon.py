"""Singular values after Newton-Schulz, scales and the partition of Muon."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from optim import is_hidden_matrix, muon, orthogonalize, scale_by_muon
from optim.hidden import path_name
from optim.muon import SCALES


@pytest.mark.parametrize(
    ("coefficients", "num_steps", "low", "high"),
    [("jordan", 5, 0.67, 1.14), ("polar_express", 5, 0.87, 1.13), ("polar_express", 8, 0.999, 1.001)],
)
def test_singular_values_come_close_to_one(coefficients, num_steps, low, high):
    """For singular values of 0.02 and more of the norm, the bounds known for each table."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n, 12)))[0] for n in (12, 20))
    matrix = left @ np.diag(np.geomspace(0.02, 1.0, 12)) @ right.T
    for x in (matrix, matrix.T):
        values = np.linalg.svd(orthogonalize(jnp.asarray(x, jnp.float32), coefficients, num_steps))[1]
        assert low < values.min() and values.max() < high


def test_singular_vectors_are_kept():
    matrix = np.random.default_rng(0).normal(size=(5, 8))
    u, _, vt = np.linalg.svd(matrix, full_matrices=False)
    found = orthogonalize(jnp.asarray(matrix, jnp.float32), "polar_express", 10)
    np.testing.assert_allclose(found, u @ vt, atol=2e-5)


def test_scales():
    assert SCALES["jordan"](16, 64) == 2.0 and SCALES["jordan"](64, 16) == 1.0
    assert SCALES["moonshot"](16, 100) == SCALES["moonshot"](100, 16) == 2.0


def test_partition_by_path():
    params = {
        "Embed_0": {"embedding": jnp.ones((8, 4))},
        "hidden": {"kernel": jnp.ones((4, 6)), "bias": jnp.ones(6)},
        "conv": {"kernel": jnp.ones((3, 3, 2, 4))},
        "head": {"kernel": jnp.ones((6, 3))},
    }
    momentum = muon(0.1).init(params).inner_states["muon"].inner_state[0].momentum
    trained = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(momentum)[0]]
    assert trained == ["['conv']['kernel']", "['hidden']['kernel']"]


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        scale_by_muon().init({"b": jnp.ones(3)})


HIDDEN = """
    Dense_0/kernel Conv_0/kernel layers/0/kernel w GRUCell_0/in/kernel Einsum_0/kernel lora/lora_a/value
    params/SelfAttention_0/out/kernel attn/value/kernel/value Head_0/key/kernel head_0/q_proj/kernel
    attention_head/query/kernel MultiHead_0/Dense_0/kernel transformer/h/0/attn/c_attn/kernel
    encoder/layer/0/output/dense/kernel bert/attention/output/dense/kernel mlp/output/kernel
    token_mixing/Dense_0/kernel overhead/kernel block/headwise/kernel head_mixer/kernel
"""
NOT_HIDDEN = """
    head/kernel head/kernel/value heads/0/kernel lm_head/kernel LMHead_0/Dense_0/kernel value_head/kernel
    classification_head/kernel logits_dense/kernel output/kernel output_projection/kernel readout/kernel
    classifier/kernel unembed/kernel Embed_0/embedding wte/embedding/value pos_embedding cls_token
    patch_embed/proj/kernel shared/embedding attention/relative_position_bias/embedding
    attn/query/bias/value MultiHeadDotProductAttention_0/query/bias norm/scale
"""


@pytest.mark.parametrize(("paths", "hidden"), [(HIDDEN, True), (NOT_HIDDEN, False)])
def test_names_of_layers(paths, hidden):
    leaf = jnp.ones((2, 2, 2))
    assert [path for path in paths.split() if is_hidden_matrix(path, leaf) != hidden] == []


class Attention(nnx.Module):
    """Flax's own attention between an embedding and a head."""

    def __init__(self, rngs: nnx.Rngs):
        self.embed = nnx.Embed(5, 4, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 4, 4, decode=False, rngs=rngs)
        self.head = nnx.Linear(4, 5, rngs=rngs)


def hidden_names(params):
    leaves = jax.tree.leaves_with_path(params)
    return {
        path_name(path).split("/kernel")[0]
        for path, leaf in leaves
        if is_hidden_matrix(path_name(path), leaf)
    }


def test_all_of_flax_attention_is_hidden_and_nothing_else():
    projections = ("query", "key", "value", "out")
    state = nnx.eval_shape(lambda: nnx.state(Attention(nnx.Rngs(0)), nnx.Param))
    assert hidden_names(state) == {f"attention/{name}" for name in projections}
    x = jnp.ones((1, 3, 4))
    for module in (linen.MultiHeadDotProductAttention, linen.MultiHeadAttention):
        params = jax.eval_shape(module(2).init, jax.random.key(0), x, x)
        assert hidden_names(params) == {f"params/{name}" for name in projections}
