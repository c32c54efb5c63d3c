"""Every registered optimizer trains a fully connected and a convolutional network on real images."""

from __future__ import annotations

import numpy as np
import pytest

import lr_batch
from lr_batch import REACHED
from optim import OPTIMIZERS

SHORT = ("lion", "shampoo", "muon")


@pytest.mark.parametrize("workload", ["digits_mlp", pytest.param("digits_cnn", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "optimizer",
    [name if name in SHORT else pytest.param(name, marks=pytest.mark.slow) for name in OPTIMIZERS],
)
def test_some_rate_of_the_default_space_reaches_the_goal(optimizer, workload):
    """At batch size 64 within 500 steps; the race ends the others soon after."""
    study = lr_batch.Study(
        workload=workload, optimizer=optimizer, batch_sizes=(64,), seeds=1, budget=500, extend=False
    )
    result = lr_batch.run(study)
    assert (result.status == REACHED).any()
    fewest = np.nanmin(result.steps_to_goal)
    best = result.hparams["learning_rate"][result.steps_to_goal == fewest]
    rates = OPTIMIZERS[optimizer].space["learning_rate"]
    whole_step = optimizer == "lbfgs"  # its rate 1 is the natural end of the grid
    assert rates[0] < best[0] < rates[-1] or whole_step
