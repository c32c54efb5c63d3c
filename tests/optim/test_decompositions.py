"""Decompositions as they are on a CPU and elsewhere, against LAPACK's of the whole stack."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from steps import RATE, agree
from test_matrix_oracles import soap

import optim
from optim.decompositions import eigh, orthogonal_factor, product_of_reflections

SIZE = 6
KINDS = {
    "full": lambda a: a,
    "rank one": lambda a: a[:, :, :1] * a[:, :1, :],
    "columns of zeros": lambda a: a * (np.arange(SIZE) % 2),
    "diagonal": lambda a: a * np.eye(SIZE),
    "graded": lambda a: a * np.geomspace(1, 1e-12, SIZE),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [orthogonal_factor, product_of_reflections])
def test_orthogonal_factor_is_that_of_lapack(factor, kind):
    stack = KINDS[kind](np.random.default_rng(0).normal(size=(3, SIZE, SIZE))).astype(np.float32)
    found = np.asarray(factor(jnp.asarray(stack)))
    np.testing.assert_allclose(found, jnp.linalg.qr(stack)[0], atol=2e-6)
    np.testing.assert_allclose(
        found.swapaxes(1, 2) @ found, np.broadcast_to(np.eye(SIZE), found.shape), atol=2e-6
    )


def test_soap_is_the_authors_with_products_of_reflections(monkeypatch):
    """What an accelerator runs, on a CPU, along twenty steps."""
    module = sys.modules["optim.soap"]  # behind the function of that name
    monkeypatch.setattr(module, "orthogonal_factor", product_of_reflections)
    agree(optim.soap(RATE, interval=4), soap)


def test_lanes_are_decomposed_as_all_at_once():
    lanes = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 5, 5)), jnp.float32)
    symmetric = lanes @ lanes.mT
    for found, expected in zip(jax.vmap(eigh)(symmetric), jnp.linalg.eigh(symmetric), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(jax.vmap(orthogonal_factor)(lanes), jnp.linalg.qr(lanes)[0])
