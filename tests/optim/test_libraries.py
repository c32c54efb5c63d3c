"""Methods against Optax's and PyTorch's, where these have them, in float64."""

from __future__ import annotations

import numpy as np
import optax
import pytest
from steps import RATE, gradients, run

import optim

OPTAX = {
    "sgd": (optim.sgd(RATE), optax.sgd(RATE)),
    "momentum": (optim.momentum(RATE), optax.sgd(RATE, momentum=0.9)),
    "nesterov": (optim.nesterov(RATE), optax.sgd(RATE, momentum=0.9, nesterov=True)),
    "adagrad": (optim.adagrad(RATE, eps=1e-7, initial=0.1), optax.adagrad(RATE, eps=0.0)),
    "rmsprop": (optim.rmsprop(RATE, momentum=0.5), optax.rmsprop(RATE, momentum=0.5)),
    "adam": (optim.adam(RATE), optax.adam(RATE)),
    "adamw": (optim.adamw(RATE, weight_decay=1e-2, decay="rate"), optax.adamw(RATE, weight_decay=1e-2)),
    "nadam": (optim.nadam(RATE), optax.nadam(RATE)),
    "lion": (optim.lion(RATE), optax.lion(RATE, weight_decay=0.0)),
    "lamb": (optim.lamb(RATE, weight_decay=0.1), optax.lamb(RATE, weight_decay=0.1)),
    "schedule_free_sgd": (optim.schedule_free_sgd(RATE), optax.contrib.schedule_free_sgd(RATE)),
    "schedule_free_adamw": (optim.schedule_free_adamw(RATE), optax.contrib.schedule_free_adamw(RATE)),
}


@pytest.mark.parametrize("name", OPTAX)
def test_optax_agrees(name):
    ours, theirs = OPTAX[name]
    # AdaGrad: Optax has its eps inside the root and at 0 none at all; ours is outside and never 0.
    tolerance = 1e-6 if name == "adagrad" else 1e-10
    np.testing.assert_allclose(run(ours), run(theirs), rtol=tolerance, atol=tolerance)


def torch_optimizers(torch):
    o = torch.optim
    return {
        "sgd": (optim.sgd(RATE), lambda p: o.SGD(p, lr=RATE)),
        "momentum": (optim.momentum(RATE), lambda p: o.SGD(p, lr=RATE, momentum=0.9)),
        "nesterov": (optim.nesterov(RATE), lambda p: o.SGD(p, lr=RATE, momentum=0.9, nesterov=True)),
        "adagrad": (optim.adagrad(RATE), lambda p: o.Adagrad(p, lr=RATE, eps=1e-8)),
        "rmsprop": (optim.rmsprop(RATE, eps_in_sqrt=False), lambda p: o.RMSprop(p, lr=RATE, alpha=0.9)),
        "adam": (optim.adam(RATE), lambda p: o.Adam(p, lr=RATE)),
        "adamw": (
            optim.adamw(RATE, weight_decay=1e-2, decay="rate"),
            lambda p: o.AdamW(p, lr=RATE, weight_decay=1e-2),
        ),
    }


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"])
def test_torch_agrees(name):
    torch = pytest.importorskip("torch")
    ours, make = torch_optimizers(torch)[name]
    start, grads = gradients()
    w = torch.tensor(start, requires_grad=True)
    theirs, path = make([w]), []
    for grad in grads:
        w.grad = torch.tensor(grad)
        theirs.step()
        path.append(w.detach().numpy().copy())
    np.testing.assert_allclose(run(ours), np.stack(path), rtol=1e-10, atol=1e-10)
